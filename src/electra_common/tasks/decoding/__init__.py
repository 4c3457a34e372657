"""From what a model computes to answers in words: classes, tags, spans, choices."""

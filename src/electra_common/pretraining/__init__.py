"""Pre-training without a framework: corpus, examples, masks, recipes, schedules, and what a run keeps on disk."""

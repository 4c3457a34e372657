"""The algorithm of Google's build_pretraining_dataset.py as its description says it, on lists."""


def by_the_rules(lines, max_length, draws):
    """Google's algorithm, step by step, on lists; ``draws`` are used up one an example.

    State: buffered lines, how many tokens they have, the target length.
    """
    draws = iter(draws)
    examples, buffer, count = [], [], 0

    def next_target():
        draw = next(draws)
        return draw, (5 + int(draw.length * (max_length - 4)) if draw.shorter < 0.05 else max_length)

    def emit():
        first_target = 100000 if draw.single < 0.1 else (target - 3) // 2
        first, second = [], []
        for line in buffer:
            to_first = not first
            if not to_first:
                to_first = len(first) + len(line) < first_target
            if not to_first and not second and len(first) < first_target:
                to_first = draw.takes_line < 0.5
            (first if to_first else second).extend(line)
        first = first[: max_length - 2]
        second = second[: max(0, max_length - len(first) - 3)]
        examples.append((first, second))

    draw, target = next_target()
    for line in lines:
        buffer.append(line)
        count += len(line)
        if count >= target:
            emit()
            buffer, count = [], 0
            draw, target = next_target()
    if buffer:  # the end of the document
        emit()
    return examples

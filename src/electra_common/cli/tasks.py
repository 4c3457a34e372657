"""``electra tasks``: what can be fine-tuned for, and which files it is learned from."""

from __future__ import annotations

from electra_common.cli.console import make_console, make_table, print_json
from electra_common.tasks.task import find_task, task_names


def show_tasks(*, as_json: bool) -> int:
    """Print the tasks of the library and those registered."""
    tasks = [find_task(name) for name in task_names()]
    if as_json:
        print_json({"tasks": [task.as_dict() for task in tasks]})
        return 0
    table = make_table("", "task", "kind", "metrics", "what it is", "file to train on")
    for task in tasks:
        table.add_row(
            task.name, task.kind, ", ".join(task.metrics), task.summary, " or ".join(task.files.get("train", ()))
        )
    make_console().print(table)
    return 0

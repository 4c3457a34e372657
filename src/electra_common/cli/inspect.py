"""``electra inspect``: what a checkpoint holds."""

from __future__ import annotations

import math
from typing import Any, Final

from rich.console import Console
from rich.markup import escape

from electra_common.cli.console import byte_progress, human_count, make_console, make_table, print_json
from electra_common.cli.options import Heads
from electra_common.config import SIZES, ElectraConfig
from electra_common.weights.checkpoint import Checkpoint, architecture_of, open_checkpoint
from electra_common.weights.components import Component
from electra_common.weights.fingerprint import fingerprint
from electra_common.weights.loading import match
from electra_common.weights.names import ARCHITECTURE_PARTS

# Where a config comes from whose heads nobody has told.
ASSUMED_HEADS: Final = "shapes; heads assumed to be hidden size // 64"


def inspect(path: str, *, with_fingerprint: bool, list_tensors: bool, heads: Heads, as_json: bool) -> int:
    """Print the content of a checkpoint; exit code 1 if a network in it is incomplete."""
    # Without the fingerprint only names and shapes are read, so checksums over the data would be a surprise.
    checkpoint = open_checkpoint(path, verify=with_fingerprint)
    described = [
        describe(checkpoint, component, heads=heads, with_fingerprint=with_fingerprint, show_progress=not as_json)
        for component in checkpoint.components.values()
    ]
    complete = all(item["complete"] for item in described)
    if as_json:
        if list_tensors:
            for item, component in zip(described, checkpoint.components.values(), strict=True):
                item["tensors"] = tensor_rows(component)
        print_json({"path": str(checkpoint.path), "format": checkpoint.format, "components": described})
        return 0 if complete else 1
    console = make_console()
    console.print(f"[bold]{escape(str(checkpoint.path))}[/]  format: {checkpoint.format}")
    for item, component in zip(described, checkpoint.components.values(), strict=True):
        _print_component(console, item)
        if list_tensors:
            _print_tensors(console, component)
    return 0 if complete else 1


def describe(
    checkpoint: Checkpoint, component: Component, *, heads: Heads, with_fingerprint: bool, show_progress: bool
) -> dict[str, Any]:
    """Return what there is to say about one network, as plain data."""
    config = checkpoint.config_of(component, num_attention_heads=heads)
    architecture = _class_of(component, config)
    report, _ = match(checkpoint, component, config, architecture)
    parameters = sum(math.prod(tensor.shape) for tensor in component.tensors.values())
    result: dict[str, Any] = {
        "component": component.name,
        "architecture": architecture,
        "config_from": config_source(checkpoint, component, heads) + _unknown_class(config, architecture),
        "config": {name: getattr(config, name) for name in (*SIZES, "type_vocab_size")},
        "tensor_count": len(component.tensors),
        "parameters": parameters,
        "dtypes": sorted({tensor.dtype for tensor in component.tensors.values()}),
        "complete": report.is_complete and not report.new,
        "problems": None if report.is_complete and not report.new else _problem(report),
        "leftovers": report.leftover_reasons(),
    }
    if with_fingerprint:
        total = sum(tensor.nbytes for tensor in component.tensors.values())
        with byte_progress("fingerprint", shown=show_progress) as update:
            done = 0

            def step(count: int) -> None:
                nonlocal done
                done += count
                update(done, total)

            result["fingerprint"] = fingerprint(component.tensors, progress=step)
    return result


def config_source(checkpoint: Checkpoint, component: Component, heads: Heads) -> str:
    """Say where a network's config comes from; the number of heads is the part that shapes cannot tell."""
    if checkpoint.stored_config(component) is not None:
        return "config.json"
    if (heads if isinstance(heads, int | None) else heads.get(component.name)) is not None:
        return "shapes; heads as given"
    if "num_attention_heads" in component.config_fields:
        return "shapes of the weights, which show the heads too"
    return ASSUMED_HEADS


def _class_of(component: Component, config: ElectraConfig) -> str:
    """Return the class that the config names; where it names none of ours, the one that the tensors show."""
    named = (config.architectures or ("",))[0]
    return named if named in ARCHITECTURE_PARTS else architecture_of(component)


def _unknown_class(config: ElectraConfig, architecture: str) -> str:
    """Return a note on a class that the config names and nobody knows."""
    named = (config.architectures or (architecture,))[0]
    return "" if named == architecture else f"; its class {named[:80]!r} is not known, {architecture} by the tensors"


def _problem(report: Any) -> str:
    return str(report.problems() if not report.is_complete else report.new_head_warning())


def tensor_rows(component: Component) -> list[dict[str, Any]]:
    """Return name, shape and dtype of every canonical tensor."""
    return [
        {"name": name, "shape": list(tensor.shape), "dtype": tensor.dtype}
        for name, tensor in sorted(component.tensors.items())
    ]


def _print_component(console: Console, item: dict[str, Any]) -> None:
    table = make_table(f"\n{item['component']} ({escape(item['architecture'])})", "what", "value")
    table.add_row("parameters", f"{human_count(item['parameters'])} in {item['tensor_count']} tensors")
    table.add_row("dtype", ", ".join(item["dtypes"]))
    table.add_row("config from", escape(item["config_from"]))
    table.add_row("sizes", ", ".join(f"{name} {value}" for name, value in item["config"].items()))
    for reason, count in item["leftovers"].items():
        table.add_row("left aside", f"{count} tensor{'s' if count > 1 else ''}: {escape(reason)}")
    if "fingerprint" in item:
        table.add_row("fingerprint", item["fingerprint"])
    table.add_row("complete", "yes" if item["complete"] else f"[red]no[/]: {escape(item['problems'])}")
    console.print(table)


def _print_tensors(console: Console, component: Component) -> None:
    table = make_table("tensors", "name", "#shape", "dtype")
    for row in tensor_rows(component):
        table.add_row(row["name"], str(row["shape"]).replace("[", "\\["), row["dtype"])
    console.print(table)

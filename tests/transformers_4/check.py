"""Opens in transformers 4.57 what this library wrote, and compares outputs with those that transformers recorded.

Usage: python check.py pt|tf FOLDER, in an environment with transformers 4.57.6 and without this library; `make
check-transformers-4` makes it, and runs each framework in a process of its own.
"""

import os
import sys
from pathlib import Path

FRAMEWORK = sys.argv[1]
os.environ.update(TF_USE_LEGACY_KERAS="1", TF_CPP_MIN_LOG_LEVEL="3")
os.environ.update({"pt": {"USE_TF": "0", "USE_TORCH": "1"}, "tf": {"USE_TF": "1", "USE_TORCH": "0"}}[FRAMEWORK])

import numpy as np  # noqa: E402 (which frameworks transformers looks for comes first)
import transformers  # noqa: E402

TOLERANCE = 1e-5
FORMS = {"pt": ("safetensors", "bin"), "tf": ("h5",)}[FRAMEWORK]
INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def open_model(folder):
    """Return the model and what transformers says of its loading."""
    name = f"Electra{folder.name}"
    if FRAMEWORK == "tf":
        return getattr(transformers, f"TF{name}").from_pretrained(folder, output_loading_info=True)
    options = {"attn_implementation": "eager", "use_safetensors": (folder / "model.safetensors").exists()}
    return getattr(transformers, name).from_pretrained(folder, output_loading_info=True, **options)


def run(model, batch):
    if FRAMEWORK == "tf":
        return model(**batch, output_hidden_states=True, output_attentions=True, training=False)
    import torch

    with torch.no_grad():
        tensors = {name: torch.from_numpy(array) for name, array in batch.items()}
        return model.eval()(**tensors, output_hidden_states=True, output_attentions=True)


def largest_difference(folder):
    """Load a folder, run it on the recorded batch, and return the largest difference in any recorded output."""
    with np.load(folder / "expected.npz") as file:
        recorded = {name: file[name] for name in file.files}
    model, report = open_model(folder)
    # Keras counts dropout layers, which have no weights: transformers says the same of files that it wrote itself.
    problems = {
        kind: [name for name in names if not str(name).startswith("dropout_")] for kind, names in report.items()
    }
    problems = {kind: names for kind, names in problems.items() if names}
    if problems:
        raise SystemExit(f"{folder}: {problems}")
    output = run(model, {name: recorded[f"in/{name}"] for name in INPUTS})
    found = {}
    for name, value in output.items():
        is_tuple = isinstance(value, tuple)
        parts = {f"{name}/{index}": part for index, part in enumerate(value)} if is_tuple else {name: value}
        found.update({f"out/{key}": np.asarray(part) for key, part in parts.items()})
    shared = found.keys() & recorded.keys()
    if not any(name in shared for name in ("out/logits", "out/start_logits", "out/last_hidden_state")):
        raise SystemExit(f"{folder}: nothing to compare among {sorted(found)}")
    return len(shared), max(float(np.abs(found[name] - recorded[name]).max()) for name in shared)


def main(root):
    print(f"transformers {transformers.__version__}, {FRAMEWORK}")
    worst = 0.0
    for form in FORMS:
        for folder in sorted((root / form).glob("*/*/")):
            count, difference = largest_difference(folder)
            worst = max(worst, difference)
            name = f"{form:12} {folder.parent.name:11} {folder.name:28}"
            print(f"{name} {count} outputs, largest difference {difference:.1e}")
    print(f"largest difference of all: {worst:.1e}, allowed {TOLERANCE:.0e}")
    return 0 if worst <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[2])))

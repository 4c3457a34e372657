"""The house's walls: which package may import which, by source and by what a fresh process has loaded."""

import ast
import subprocess
import sys

import pytest

from support.fixtures import REPOSITORY

SOURCES = REPOSITORY / "src"
FORBIDDEN = {
    "electra_common": {"torch", "tensorflow", "keras", "electra_pt", "electra_tf"},
    "electra_pt": {"tensorflow", "keras", "electra_tf"},
    "electra_tf": {"torch", "electra_pt"},
}
# Makes the tensors that a caller asks for by name; imports the framework inside the function that does.
ON_REQUEST = {"electra_common/tokenization/tensors.py": {"torch", "tensorflow"}}


def imported_names(file):
    """Return the first part of every module that a file imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            yield (node.module or "").partition(".")[0]


@pytest.mark.parametrize("package", FORBIDDEN)
def test_no_source_file_imports_across_the_walls(package):
    files = sorted((SOURCES / package).rglob("*.py"))
    assert files
    for file in files:
        name = str(file.relative_to(SOURCES))
        crossed = FORBIDDEN[package] & set(imported_names(file)) - ON_REQUEST.get(name, set())
        assert not crossed, f"{name} imports {crossed}"


def loaded_after(statement):
    """Return the top-level modules that a fresh process has loaded after a statement."""
    code = f"import sys; {statement}; print('\\n'.join({{name.partition('.')[0] for name in sys.modules}}))"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(finished.stdout.split())


EVERYTHING_COMMON = "; ".join(
    f"import {'.'.join(file.relative_to(SOURCES).with_suffix('').parts)}"
    for file in sorted((SOURCES / "electra_common").rglob("*.py"))
    if file.name not in ("__init__.py", "__main__.py")
)


def test_importing_all_of_electra_common_loads_no_framework():
    assert not loaded_after(EVERYTHING_COMMON) & {"torch", "tensorflow", "keras"}


def test_importing_electra_common_loads_nothing_heavy():
    """The command line and the Hub client take longer to import than everything else; they wait until needed."""
    heavy = {"typer", "rich", "huggingface_hub", "tokenizers", "h5py", "tqdm", "requests", "httpx"}
    assert not loaded_after("import electra_common") & heavy


def test_importing_electra_pt_loads_no_tensorflow():
    pytest.importorskip("torch")
    assert not loaded_after("import electra_pt") & {"tensorflow", "keras"}


def test_importing_electra_tf_loads_no_torch():
    pytest.importorskip("keras")
    assert "torch" not in loaded_after("import electra_tf")


def test_loading_a_model_in_torch_does_not_import_its_compiler(tmp_path):
    """torch draws new embeddings on the meta device through its compiler, whose import takes longer than torch's."""
    pytest.importorskip("torch")
    code = (
        "import sys, electra_pt as e; c = e.ElectraConfig(num_hidden_layers=1);"
        f"e.ElectraForPreTraining(c).save_pretrained({str(tmp_path)!r});"
        f"e.ElectraForPreTraining.from_pretrained({str(tmp_path)!r}); sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_source_file_reads_the_environment_when_imported():
    for file in sorted(SOURCES.rglob("*.py")):
        tree = ast.parse(file.read_text())
        top_level = [node for node in tree.body if not isinstance(node, ast.FunctionDef | ast.ClassDef)]
        text = "\n".join(ast.unparse(node) for node in top_level)
        assert "environ" not in text, f"{file.relative_to(SOURCES)} reads the environment at import"

"""What the pages say about the repository is true: paths, links, options, defaults, limits."""

import ast
import dataclasses
import importlib
import inspect
import re
import tomllib

import pytest
import typer

from electra_common import ElectraConfig
from electra_common.cli.main import app
from support.examples import PAGES
from support.fixtures import REPOSITORY

DOCS = REPOSITORY / "docs"


def tree_of_the_readme():
    """Return the paths of the tree: names are indented by two blanks a level, remarks stand two blanks behind."""
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    block = re.search(r"^## The repository\n+```text\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[1]
    parents, paths = [], []
    for line in block.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        name = line.split()[0]
        parents[depth:] = [name]
        paths.append("/".join(part.rstrip("/") for part in parents) + ("/" if name.endswith("/") else ""))
    return paths


def test_the_tree_names_what_exists():
    paths = tree_of_the_readme()
    assert len(paths) > 20
    assert not [path for path in paths if not (REPOSITORY / path).exists()]
    assert not [path for path in paths if path.endswith("/") != (REPOSITORY / path).is_dir()]


def test_the_tree_names_every_folder_of_the_sources():
    folders = {f"{path.relative_to(REPOSITORY)}/" for path in (REPOSITORY / "src").glob("*/") if any(path.glob("*.py"))}
    assert folders <= set(tree_of_the_readme())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_files_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert not [link for link in links if "://" not in link and not (page.parent / link).exists()]


# docs/fidelity.md -----------------------------------------------------------------------------------------------------


def rows_of(page):
    """Return the rows of all tables of a page, as lists of cells."""
    lines = (DOCS / page).read_text(encoding="utf-8").splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]


def options_of(cell):
    """Return (what, name, default as written) of each ``what(name=default)`` in a cell."""
    return re.findall(r"`(\w+)\((\w+)=([^`]*)\)`", cell)


FIDELITY = [row for row in rows_of("fidelity.md") if len(row) == 5 and options_of(row[4])]


@pytest.mark.parametrize("row", FIDELITY, ids=lambda row: row[0])
def test_options_of_the_fidelity_table_exist_with_their_defaults(row):
    for what, name, written in options_of(row[4]):
        defaults = DEFAULTS[what]()
        assert name in defaults, f"{what} has no {name}"
        assert defaults[name] == ast.literal_eval(written), f"{what}({name}=…)"


def tokenizer_defaults():
    from electra_common import ElectraTokenizer

    parameters = inspect.signature(ElectraTokenizer.__init__).parameters.values()
    return {item.name: item.default for item in parameters}


def call_defaults():
    from electra_common import ElectraTokenizer

    return {item.name: item.default for item in inspect.signature(ElectraTokenizer.__call__).parameters.values()}


def config_defaults():
    return {field.name: field.default for field in dataclasses.fields(ElectraConfig)}


def loading_defaults():
    """Return the defaults of `from_pretrained`, read from the source, for importing it needs a framework."""
    tree = ast.parse((REPOSITORY / "src" / "electra_pt" / "pretrained.py").read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    arguments = [node for node in functions if node.name == "from_pretrained"][-1].args  # the last one: no overload
    pairs = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    return {name.arg: ast.literal_eval(default) for name, default in pairs}


def masking_defaults():
    from electra_common.pretraining.masking import MaskingRules

    return {field.name: field.default for field in dataclasses.fields(MaskingRules)}


def reading_defaults():
    from electra_common.pretraining.documents import ReadingOptions

    return {field.name: field.default for field in dataclasses.fields(ReadingOptions)}


def segment_defaults():
    from electra_common.pretraining.segments import SegmentOptions

    return {field.name: field.default for field in dataclasses.fields(SegmentOptions)}


def objective_defaults():
    from electra_common.objective import PretrainingObjective

    return {field.name: field.default for field in dataclasses.fields(PretrainingObjective)}


def optimizer_defaults():
    """Return the defaults of the optimizer's constructor, read from the source."""
    tree = ast.parse((REPOSITORY / "src" / "electra_pt" / "optimizer.py").read_text(encoding="utf-8"))
    arguments = next(node for node in ast.walk(tree) if getattr(node, "name", "") == "__init__").args
    pairs = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    return {name.arg: ast.literal_eval(default) for name, default in pairs}


def recipe_defaults():
    from electra_common.pretraining.recipes import Recipe

    return {field.name: field.default for field in dataclasses.fields(Recipe)}


def fine_tuning_defaults():
    from electra_common.tasks.settings import FineTuningSettings

    return {field.name: field.default for field in dataclasses.fields(FineTuningSettings)}


DEFAULTS = {
    "FineTuningSettings": fine_tuning_defaults,
    "Recipe": recipe_defaults,
    "MaskingRules": masking_defaults,
    "PretrainingObjective": objective_defaults,
    "ReadingOptions": reading_defaults,
    "SegmentOptions": segment_defaults,
    "ElectraAdam": optimizer_defaults,
    "ElectraConfig": config_defaults,
    "from_pretrained": loading_defaults,
    "ElectraTokenizer": tokenizer_defaults,
    "tokenizer": call_defaults,
}


def test_the_fidelity_table_is_one_table_with_no_row_of_another_width():
    rows = rows_of("fidelity.md")
    assert {len(row) for row in rows} == {5}
    assert sum(row[0] == "what" for row in rows) == 1
    assert len(FIDELITY) > 10


def test_every_refused_config_field_is_in_the_fidelity_table():
    from electra_common.config import ONLY_SUPPORTED_VALUE

    named = {name for row in FIDELITY for _, name, _ in options_of(row[4])}
    assert set(ONLY_SUPPORTED_VALUE) <= named


# docs/checkpoints.md --------------------------------------------------------------------------------------------------


def test_limits_are_those_of_the_code():
    rows = [row for row in rows_of("checkpoints.md") if re.fullmatch(r"`[\w.]+\.MAX_\w+`", row[-1])]
    assert len(rows) > 4
    for _, written, name in rows:
        module, _, constant = name.strip("`").rpartition(".")
        number, _, unit = written.partition(" ")
        expected = int(number) << (20 if unit == "MiB" else 0)
        assert getattr(importlib.import_module(f"electra_common.{module}"), constant) == expected, name


def test_every_field_of_the_load_report_is_explained():
    from electra_common import LoadReport

    named = {row[0].strip("`") for row in rows_of("checkpoints.md")}
    about_the_source = {"source", "format", "component"}
    assert {field.name for field in dataclasses.fields(LoadReport)} - about_the_source <= named


# docs/cli.md ----------------------------------------------------------------------------------------------------------


def test_every_command_and_option_is_on_the_page():
    text = (DOCS / "cli.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## electra ([\w-]+)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    commands = typer.main.get_command(app).commands
    assert set(sections) == set(commands)
    for name, command in commands.items():
        inner = getattr(command, "commands", {"": command})  # a group's commands share its section
        params = [item for command in inner.values() for item in command.params]
        options = {flag for item in params for flag in (*item.opts, *item.secondary_opts) if flag[:2] == "--"}
        written = set(re.findall(r"`(--[\w-]+)", sections[name]))
        assert written - {"--help"} == options - {"--help"}, name


# docs/pretraining.md --------------------------------------------------------------------------------------------------


def test_every_metric_of_an_evaluation_is_explained():
    from electra_common.pretraining.evaluation import METRICS

    rows = {row[0].strip("`"): row[1] for row in rows_of("pretraining.md") if len(row) == 2}
    assert {name: rows.get(name) for name in METRICS} == METRICS


# docs/fine-tuning.md --------------------------------------------------------------------------------------------------


def test_every_setting_of_fine_tuning_is_explained_with_its_default():
    written = {}
    for row in rows_of("fine-tuning.md"):
        names, values = re.findall(r"`(\w+)`", row[0]), row[1].split(", ")
        if len(row) == 3 and len(names) == len(values):
            written |= dict(zip(names, (value.strip("`") for value in values), strict=True))
    for name, default in fine_tuning_defaults().items():
        assert name in written, name
        if written[name] != "by size":
            assert ast.literal_eval(written[name].capitalize()) == default, name
    assert {name for name, value in written.items() if value == "by size"} == {"learning_rate", "layer_decay"}


def test_settings_by_size_are_those_of_the_code():
    from electra_common.tasks.settings import settings_for, size_name
    from electra_common.tasks.task import find_task

    task = find_task("classification")
    rows = [row for row in rows_of("fine-tuning.md") if len(row) == 5 and row[1].isdecimal()]
    assert [row[0].strip("`") for row in rows] == ["tiny", "small", "base", "large"]
    for row in rows:
        width, settings = int(row[1]), settings_for(task, int(row[1]))
        assert size_name(width) == row[0].strip("`")
        assert width == 0 or size_name(width - 1) != size_name(width)
        assert (settings.learning_rate, settings.layer_decay) == (float(row[2]), float(row[3]))


def test_every_task_and_metric_is_named():
    from electra_common.tasks.metrics import METRICS

    tasks = tomllib.loads((REPOSITORY / "src/electra_common/tasks/tasks.toml").read_text(encoding="utf-8"))
    named = {name for row in rows_of("fine-tuning.md") for name in re.findall(r"`([\w-]+)`", row[0])}
    assert {*tasks, *METRICS} <= named


def test_every_file_of_results_is_explained():
    from electra_common.tasks import results, run, work

    named = " ".join(row[0] for row in rows_of("fine-tuning.md") if len(row) == 2)
    files = (results.RESULTS_FILE, results.SUMMARY_PICTURE, results.PREDICTIONS_FILE, results.CONFUSION_PICTURE,
             results.CURVES_PICTURE, work.RESULT_FILE, work.RUN_FILE, run.METRICS_FILE, run.BEST, run.LAST)  # fmt: skip
    assert not [name for name in files if name not in named]


# docs/api -------------------------------------------------------------------------------------------------------------


def test_every_package_has_its_page():
    pages = {path.stem for path in (DOCS / "api").glob("*.md")}
    assert pages == {path.parent.name for path in (REPOSITORY / "src").glob("*/__init__.py")}


# docs/models ----------------------------------------------------------------------------------------------------------


def test_every_model_has_its_page_with_both_frameworks():
    text = (REPOSITORY / "src" / "electra_pt" / "__init__.py").read_text(encoding="utf-8")
    models = set(re.findall(r'"(Electra(?:Model|For\w+))"', text))
    assert len(models) > 6
    pages = [page.read_text(encoding="utf-8") for page in (DOCS / "models").glob("*.md")]
    for model in models:
        wanted = {f"autoclass:: electra_pt.{model}\n", f"autoclass:: electra_tf.TF{model}\n"}
        assert sum(all(line in page for line in wanted) for page in pages) == 1, model
    assert len(pages) == len(models)

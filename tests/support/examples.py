"""Taking the examples out of a Markdown page, and running them as a reader would."""

import doctest
import os
import re
import shlex
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

from support.fixtures import REPOSITORY
from support.warm_processes import SETTINGS, WarmProcess, is_plain, run_electra

PAGES = (
    REPOSITORY / "README.md",
    *sorted((REPOSITORY / "docs").glob("*.md")),
    *sorted((REPOSITORY / "docs" / "tutorials").glob("*.md")),
)
# What pages read by its path from the root of a clone.
LINKED = ("src/electra_common/demo_data", "tests/fixtures/fine_tuning")
# What must be installed to run a block that uses a package.
FRAMEWORKS = {"electra_pt": ("torch",), "electra_tf": ("tensorflow", "keras")}
LABELS = {"electra_pt": "PyTorch", "electra_tf": "TensorFlow"}
BOTH_FRAMEWORKS = ("electra compare", "electra demo")
ONE_FRAMEWORK = (
    "electra detect",
    "electra fill-mask",
    "electra pretrain run",
    "electra finetune",
    "electra evaluate",
    "electra predict",
)

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$\n?", re.MULTILINE | re.DOTALL)
_END_OF_BLOCK = "-- end of block --"


@dataclass(frozen=True)
class Example:
    """One fenced block, and the text block right behind it, if there is one."""

    page: Path
    line: int
    language: str
    code: str
    output: str | None
    introduction: str  # the paragraph before the block

    @property
    def family(self):
        """The package that the block uses: the one it imports, else the one that the paragraph before it announces."""
        imported = (name for name in FRAMEWORKS if re.search(rf"^from {name}\b", self.code, re.MULTILINE))
        announced = (name for name, label in LABELS.items() if self.introduction.startswith(label))
        return next(imported, None) or next(announced, None)

    @property
    def place(self):
        return f"{self.page.relative_to(REPOSITORY)}:{self.line}"


@dataclass(frozen=True)
class Session:
    """The Python blocks of one page for one framework; like a reader, one process runs them in order."""

    page: Path
    family: str | None
    examples: tuple[Example, ...]

    @property
    def name(self):
        return f"{self.page.relative_to(REPOSITORY)}-{self.family or 'no framework'}"


def examples_of(page):
    """Return the Python and console examples of a page."""
    text = page.read_text(encoding="utf-8")
    blocks = list(_FENCE.finditer(text))
    found = []
    for index, block in enumerate(blocks):
        if block[1] not in ("python", "console"):
            continue
        following = blocks[index + 1] if index + 1 < len(blocks) else None
        adjoins = following is not None and not text[block.end() : following.start()].strip()
        output = following[2] if adjoins and following[1] == "text" else None
        line = text.count("\n", 0, block.start()) + 2
        introduction = text[: block.start()].rstrip().rpartition("\n\n")[2]
        found.append(Example(page, line, block[1], block[2], output, introduction))
    return found


def python_sessions():
    """Return all Python examples by page and framework; blocks that need no framework are part of every session."""
    sessions = []
    for page in PAGES:
        blocks = [example for example in examples_of(page) if example.language == "python"]
        for family in dict.fromkeys(example.family for example in blocks):
            sessions.append(Session(page, family, tuple(item for item in blocks if item.family in (None, family))))
    return sessions


def console_examples():
    """Return the console examples that call `electra`; `make` and `pip` are left to their own tests."""
    return [
        example
        for page in PAGES
        for example in examples_of(page)
        if example.language == "console" and re.search(r"^\$ electra\b", example.code, re.MULTILINE)
    ]


def needs_both(example):
    """Whether a console example runs both frameworks."""
    return any(command in example.code for command in BOTH_FRAMEWORKS)


def needs_one(example):
    """Whether a console example runs the framework that is installed."""
    return any(command in example.code for command in ONE_FRAMEWORK)


def run_session(session, folder):
    """Run the blocks of a session in one process and return what each printed."""
    _link_repository(folder)
    finished = WarmProcess(_run_blocks, session, folder=folder).finish()
    assert finished.returncode == 0, f"{session.name}:\n{finished.stdout}\n{finished.stderr}"
    return finished.stdout.split(f"{_END_OF_BLOCK}\n")[:-1]


def _run_blocks(session):
    warnings.simplefilter("error", UserWarning)
    scope = {"__name__": "__main__"}
    for example in session.examples:
        # The blocks keep their line numbers, so that a traceback points into the page.
        exec(compile("\n" * (example.line - 1) + example.code, str(session.page), "exec"), scope)
        print(_END_OF_BLOCK, flush=True)


def run_console(example, folder):
    """Run the commands of a console example in order, as a shell does, and return what they printed on both streams."""
    _link_repository(folder)
    printed, code = "", 0
    for lines in re.findall(r"^\$ ((?:.*\\\n)*.*)$", example.code, re.MULTILINE):
        command = lines.replace("\\\n", "")
        if is_plain(command):
            finished = run_electra(*shlex.split(command)[1:], folder=folder, merged=True)
        else:
            finished = _run_in_shell(f"(exit {code})\n{command}", folder)  # it may ask how the one before ended
        printed, code = printed + finished.stdout, finished.returncode
    assert code == 0, f"{example.place}: exit code {code}\n{printed}"
    return printed


def _link_repository(folder):
    """Make a folder look like the root of a clone to the pages, which say that it is one."""
    for name in LINKED:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(REPOSITORY / name)


def _run_in_shell(command, folder):
    # Relative entries would lose their meaning in another folder.
    path = [str(Path(entry).absolute()) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    environment = {
        **os.environ,
        **SETTINGS,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "PYTHONPATH": os.pathsep.join(path),
    }
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        encoding="utf-8", check=False,
    )  # fmt: skip


def assert_output(place, expected, found):
    """Compare what was printed with what the page shows; `...` stands for anything, as in doctest."""
    expected, found = _tidy(expected), _tidy(found)
    agrees = doctest.OutputChecker().check_output(expected, found, doctest.ELLIPSIS)
    assert agrees, f"{place}: the page shows\n\n{expected}\nbut the example prints\n\n{found}"


def _tidy(text):
    """Drop blanks at the ends of lines, which nobody sees on a page."""
    return "".join(f"{line.rstrip()}\n" for line in text.strip("\n").splitlines())

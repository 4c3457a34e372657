"""The house stays small: short files, short functions."""

import ast

from support.fixtures import REPOSITORY

FILES = sorted((REPOSITORY / "src").rglob("*.py"))
MOST_LINES_OF_A_FILE = 350
MOST_LINES_OF_A_FUNCTION = 50  # without its docstring and signature


def body_length(function):
    first = function.body[0]
    has_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    body = function.body[1:] if has_docstring else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def test_files_are_short():
    long = {str(file.name): n for file in FILES if (n := len(file.read_text().splitlines())) > MOST_LINES_OF_A_FILE}
    assert not long


def test_functions_are_short():
    functions = [
        (f"{file.name}:{node.name}", body_length(node))
        for file in FILES
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef)
    ]
    assert len(functions) > 100
    assert not {name: n for name, n in functions if n > MOST_LINES_OF_A_FUNCTION}


def test_no_module_is_a_drawer_for_anything():
    assert not [file.name for file in FILES if file.stem in ("utils", "util", "helpers", "misc", "common")]

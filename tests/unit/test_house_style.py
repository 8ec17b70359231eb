"""The habits of the house: short files and functions, few parameters, no drawer for odds and ends, examples."""

import ast
import dataclasses
import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import tusi

SOURCE = Path(tusi.__file__).parent
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "core", "misc", "tools", "base"}
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_PARAMETERS = 6
MAX_POSITIONAL = 2
PACKAGES = sorted(
    module.name for module in pkgutil.iter_modules(tusi.__path__) if module.ispkg and module.name != "cli"
)
FOUNDATION = ["errors", "execution", "units"]


def parsed() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(SOURCE.rglob("*.py")):
        yield str(path.relative_to(SOURCE)), ast.parse(path.read_text(encoding="utf-8"))


def functions() -> Iterator[tuple[str, ast.FunctionDef]]:
    for name, tree in parsed():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                yield f"{name}:{node.lineno} {node.name}", node


def public_things() -> Iterator[tuple[str, object]]:
    for package in [*PACKAGES, *FOUNDATION]:
        module = importlib.import_module(f"tusi.{package}")
        default = [name for name, thing in vars(module).items() if getattr(thing, "__module__", "") == module.__name__]
        for name in getattr(module, "__all__", default):
            if not name.startswith("_"):
                yield f"{module.__name__}.{name}", getattr(module, name)


def public_functions() -> Iterator[tuple[str, Callable]]:
    for where, thing in public_things():
        if inspect.isfunction(thing):
            yield where, thing


def report(offenders: list[str], rule: str) -> None:
    assert not offenders, f"{rule}:\n  " + "\n  ".join(offenders)


def n_code_lines(function: ast.FunctionDef) -> int:
    """Return the length without the docstring."""
    body = function.body
    if (
        isinstance(body[0], ast.Expr)
        and isinstance(body[0].value, ast.Constant)
        and isinstance(body[0].value.value, str)
    ):
        body = body[1:]
    return function.body[-1].end_lineno - body[0].lineno + 1 if body else 0


def test_files_are_short():
    lengths = {path: path.read_text(encoding="utf-8").count("\n") for path in SOURCE.rglob("*.py")}
    offenders = [f"{path.relative_to(SOURCE)}: {n}" for path, n in sorted(lengths.items()) if n > MAX_FILE_LINES]
    report(offenders, f"files over {MAX_FILE_LINES} lines; split by meaning")


def test_functions_are_short():
    offenders = [
        f"{where}: {n_code_lines(node)}" for where, node in functions() if n_code_lines(node) > MAX_FUNCTION_LINES
    ]
    report(offenders, f"functions over {MAX_FUNCTION_LINES} lines")


def test_names_say_what_is_inside():
    offenders = [
        str(path.relative_to(SOURCE))
        for path in sorted(SOURCE.rglob("*"))
        if path.stem in FORBIDDEN_NAMES or path.stem.strip("_") in FORBIDDEN_NAMES
    ]
    report(offenders, f"names that say nothing ({', '.join(sorted(FORBIDDEN_NAMES))})")


def test_functions_take_few_parameters():
    offenders = []
    for where, function in public_functions():
        parameters = [one for one in inspect.signature(function).parameters.values() if one.name not in {"self", "cls"}]
        n_positional = sum(one.kind in {one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD} for one in parameters)
        if len(parameters) > MAX_PARAMETERS or n_positional > MAX_POSITIONAL:
            offenders.append(f"{where}: {len(parameters)} parameters, {n_positional} of them positional")
    report(offenders, f"at most {MAX_PARAMETERS} parameters, {MAX_POSITIONAL} of them positional")


def test_public_dataclasses_are_frozen():
    offenders = [
        where
        for where, thing in public_things()
        if dataclasses.is_dataclass(thing) and not getattr(thing, "__dataclass_params__").frozen  # noqa: B009
    ]
    report(offenders, "dataclasses that can be changed")


def test_shapes_never_name_self():
    """`typing.Self` crashes under the run-time checks of jaxtyping and beartype."""
    pattern = re.compile(r"^from typing import .*\bSelf\b|typing\.Self\b", re.MULTILINE)
    report([name for name, tree in parsed() if pattern.search(ast.unparse(tree))], 'use -> "ClassName"')


def test_every_package_names_what_is_public():
    offenders = []
    for package in PACKAGES:
        module = importlib.import_module(f"tusi.{package}")
        names = getattr(module, "__all__", None)
        if names is None:
            if package != "numerics":
                offenders.append(f"tusi.{package} has no __all__")
        else:
            offenders += [f"tusi.{package}.{name} does not exist" for name in names if not hasattr(module, name)]
    report(offenders, "public names")


def test_public_functions_are_documented_with_an_example():
    offenders = []
    for where, function in public_functions():
        text = inspect.getdoc(function) or ""
        if ">>>" not in text and not where.startswith("tusi.plot."):  # figures: the executed pages are the examples
            offenders.append(f"{where}: no example")
        named = re.findall(r"^\*{0,2}(\w[\w, *]*?)$", text, re.MULTILINE)
        described = {part.strip(" *") for line in named for part in line.split(",")}
        parameters = set(inspect.signature(function).parameters) - {"self", "cls"}
        if len(parameters) > 1 and parameters - described:
            offenders.append(f"{where}: does not describe {', '.join(sorted(parameters - described))}")
    report(offenders, "docstrings")


def test_a_style_check_can_fail(monkeypatch):
    monkeypatch.setitem(globals(), "MAX_FILE_LINES", 10)
    with pytest.raises(AssertionError, match=r"data/record\.py"):
        test_files_are_short()

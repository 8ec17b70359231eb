"""What every test shares: with TUSI_TYPECHECK=1 each shape annotation of tusi is checked at run time."""

import inspect
import os
import sys
import types
from collections.abc import Generator
from importlib.util import find_spec
from pathlib import Path

import pytest

TYPECHECK = bool(os.environ.get("TUSI_TYPECHECK"))


def _checkable_modules() -> list[str]:
    """Return all modules but those with compiled functions and the records.

    Numba cannot compile the checks, and records convert and check their columns themselves.
    """
    source = Path(find_spec("tusi").origin).parent
    return [
        ".".join(("tusi", *path.relative_to(source).with_suffix("").parts))
        for path in source.rglob("*.py")
        if path.stem not in {"__init__", "__main__"}
        and path.parent.name != "data"
        and "njit" not in path.read_text(encoding="utf-8")
    ]


if TYPECHECK:
    import beartype
    from jaxtyping import TypeCheckError, install_import_hook

    # The hook finds its checker by name; this one lets an int stand for a float, as type checkers do.
    checker = types.ModuleType("tusi_run_time_checks")
    checker.check = beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))
    sys.modules[checker.__name__] = checker
    install_import_hook(_checkable_modules(), f"{checker.__name__}.check")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(item: pytest.Function) -> Generator[None, object, object]:
        """Let tests pass whose wrong input, given on purpose, is caught earlier than without the checks."""
        try:
            return (yield)
        except TypeCheckError:
            if "pytest.raises(" in inspect.getsource(item.function):
                pytest.skip("the wrong input of this test is caught by the run-time checks")
            raise

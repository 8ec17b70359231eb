"""The Dask executor: the numbers of the serial one, in the same order, and no worker left behind."""

import os
import sys
import types

import cloudpickle
import numpy as np
import pytest

from tusi.errors import InputError
from tusi.execution import SerialExecutor
from tusi.study import DaskExecutor


def _draw(item: int, rng: np.random.Generator) -> tuple[int, float]:
    return item, float(rng.normal())


def _environment(item: int) -> tuple[int, str]:
    return os.getpid(), os.environ["OMP_NUM_THREADS"]


def _fail_on_three(item: int) -> int:
    if item == 3:
        raise InputError("item", expected="another", got="3")
    return item


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture(autouse=True)
def _functions_of_this_file_travel_by_value():
    """Let workers have functions of a file that they cannot import."""
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


@pytest.fixture
def function_that_workers_lack(monkeypatch):
    """Return a function of a module that exists in this process alone."""
    module = types.ModuleType("module_of_this_process_alone")
    function = types.FunctionType(_environment.__code__, globals(), "environment")
    function.__module__, function.__qualname__ = module.__name__, "environment"
    monkeypatch.setattr(module, "environment", function, raising=False)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return function


def test_two_workers_give_the_numbers_of_one_process_and_are_gone_afterwards(function_that_workers_lack):
    items = list(range(37))
    expected = SerialExecutor().map(_draw, items, rng=np.random.default_rng(3))
    told: list[tuple[int, int]] = []
    with DaskExecutor(n_workers=2) as executor:
        assert executor.map(_draw, items, rng=np.random.default_rng(3), progress=lambda *n: told.append(n)) == expected
        workers = executor.map(_environment, items)
        with pytest.raises(InputError, match="`item`: expected another; got 3"):
            executor.map(_fail_on_three, items)
        with pytest.raises(ModuleNotFoundError, match="module_of_this_process_alone"):
            executor.map(function_that_workers_lack, items)
        assert executor.map(_draw, items, rng=np.random.default_rng(3)) == expected
    assert told == [(n, 37) for n in range(1, 38)]
    assert len({pid for pid, _ in workers}) == 2
    assert {threads for _, threads in workers} == {"1"}
    assert not any(_alive(pid) for pid, _ in workers)


def test_no_cluster_is_started_for_one_item_or_one_worker():
    one = DaskExecutor(n_workers=4)
    assert one.map(_environment, [0])[0][0] == os.getpid()
    assert DaskExecutor(n_workers=1).map(_environment, [0, 1])[1][0] == os.getpid()
    assert one._client is None


def test_a_scheduler_that_does_not_answer_is_the_callers_mistake(monkeypatch):
    monkeypatch.setattr("tusi.study.cluster._CONNECT_TIMEOUT", 0.3)
    with (
        pytest.raises(InputError, match="`scheduler`: expected the address of a running Dask scheduler"),
        DaskExecutor(scheduler="tcp://127.0.0.1:9") as executor,
    ):
        executor.map(_environment, [0, 1])


@pytest.mark.parametrize("choice", [{}, {"n_workers": 2, "scheduler": "tcp://x:1"}, {"n_workers": 0}])
def test_contradicting_choices_are_refused(choice):
    with pytest.raises(InputError, match="expected a "):
        DaskExecutor(**choice)

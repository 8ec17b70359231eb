"""From `--workers` and `--scheduler` to the executor that they mean."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tusi.execution import Executor


@contextmanager
def workers_for(n_items: int, *, workers: int | None, scheduler: str | None) -> Iterator["Executor"]:
    """Start what was asked for, or what is worth starting; stop it whatever ends the block."""
    from tusi.execution import SerialExecutor
    from tusi.study.cluster import DaskExecutor, default_workers

    n_workers = default_workers(n_items) if workers is None and scheduler is None else workers
    if n_workers == 1 and scheduler is None:
        yield SerialExecutor()
        return
    with DaskExecutor(n_workers=n_workers, scheduler=scheduler) as executor:
        yield executor

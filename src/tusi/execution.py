"""How a stage asks for parallel work: one method, `map`, and the same numbers for any number of workers.

A stage calls `executor.map(function, items, rng=rng)`. Item i draws from its own stream, spawned from `rng` in the
order of the items before any of them runs, so neither the number of workers nor the order in which they finish can be
seen in the result. Each item runs with one BLAS thread, here or in a worker. The Dask executor lives in `tusi.study`.
"""

import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

Progress = Callable[[int, int], None]
"""Called with (items done, items in all) whenever an item finishes."""


def stream(seed: int, *key: str | int) -> np.random.Generator:
    """Return the random stream that belongs to one place in a run.

    Parameters
    ----------
    seed
        Seed of the whole run.
    *key
        What the stream is for: names of steps and positions of items. Different keys give independent streams.

    Returns
    -------
    numpy.random.Generator
        A generator that depends on the seed and the key alone.

    Examples
    --------
    >>> bool(stream(1, "species", 0).random() == stream(1, "species", 0).random())
    True
    >>> bool(stream(1, "species", 0).random() == stream(1, "species", 1).random())
    False
    """
    spawn_key = tuple(zlib.crc32(part.encode()) if isinstance(part, str) else int(part) for part in key)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=spawn_key)))


class Executor(ABC):
    """Runs one function over many items."""

    @abstractmethod
    def map(
        self,
        function: Callable[..., Any],
        items: Sequence[Any],
        *,
        rng: np.random.Generator | None = None,
        progress: Progress | None = None,
    ) -> list[Any]:
        """Return `[function(item), ...]`, or `[function(item, stream), ...]` when `rng` is given, in order.

        Parameters
        ----------
        function
            A module-level function (workers import it by name).
        items
            What to run it on; each must survive pickling between our own processes.
        rng
            Parent of the items' streams; `None` for work without randomness.
        progress
            Told of every finished item.
        """


class SerialExecutor(Executor):
    """Runs items one after the other in this process."""

    def __repr__(self) -> str:
        return "SerialExecutor()"

    def map(
        self,
        function: Callable[..., Any],
        items: Sequence[Any],
        *,
        rng: np.random.Generator | None = None,
        progress: Progress | None = None,
    ) -> list[Any]:
        """Return the results in the order of the items; see `Executor.map`."""
        results = []
        for done, arguments in enumerate(arguments_of(items, rng), start=1):
            results.append(call(function, arguments))
            if progress is not None:
                progress(done, len(items))
        return results


def arguments_of(items: Sequence[Any], rng: np.random.Generator | None) -> list[tuple]:
    """Pair every item with its own stream; shared by all executors so that their numbers agree.

    Parameters
    ----------
    items
        What a function is to run on.
    rng
        Parent of the items' streams; `None` for work without randomness.

    Examples
    --------
    >>> arguments_of(["a", "b"], None)
    [('a',), ('b',)]
    """
    if rng is None:
        return [(item,) for item in items]
    return list(zip(items, rng.spawn(len(items)), strict=True))


def call(function: Callable[..., Any], arguments: tuple) -> Any:
    """Run one item with one BLAS thread; shared by all executors so that their numbers agree.

    Parameters
    ----------
    function
        What to run.
    arguments
        The item, and its stream where it has one.

    Examples
    --------
    >>> call(max, ([1, 3, 2],))
    3
    """
    with threadpool_limits(limits=1):
        return function(*arguments)

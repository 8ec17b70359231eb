"""The Dask executor: the same `map` as the serial one, on worker processes of this machine or on any Dask cluster."""

import os
import pickle
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from tusi.errors import InputError
from tusi.execution import Executor, Progress, SerialExecutor, arguments_of, call

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS")
_SETTINGS = {"distributed.nanny.pre-spawn-environ": dict.fromkeys(_THREADS, "1")}
_BATCHES_PER_WORKER = 8
_CONNECT_TIMEOUT = 10


class DaskExecutor(Executor):
    """Runs items on Dask workers; the numbers are those of `SerialExecutor`, bit for bit on one kind of machine.

    Workers start with the first `map` of two or more items and stop at the end of the `with` block, whatever ends it.
    Local workers are processes with one thread each that listen on the loopback interface alone.

    Parameters
    ----------
    n_workers
        Local worker processes.
    scheduler
        Address of a running Dask scheduler, such as "tcp://10.0.0.1:8786", instead of local workers.

    Raises
    ------
    InputError
        Neither or both are given, or no scheduler answers at the address.

    Examples
    --------
    >>> DaskExecutor(n_workers=2)
    DaskExecutor(n_workers=2)
    """

    def __init__(self, *, n_workers: int | None = None, scheduler: str | None = None) -> None:
        if (n_workers is None) == (scheduler is None):
            raise InputError(
                "scheduler", expected="a number of workers or the address of a scheduler", got="both or none"
            )
        if n_workers is not None and n_workers < 1:
            raise InputError("workers", expected="a whole number >= 1", got=str(n_workers))
        self.n_workers, self.scheduler = n_workers, scheduler
        self._cluster: LocalCluster | None = None
        self._client: Client | None = None

    def __repr__(self) -> str:
        if self.scheduler is not None:
            return f"DaskExecutor(scheduler={self.scheduler!r})"
        return f"DaskExecutor(n_workers={self.n_workers})"

    def __enter__(self) -> "DaskExecutor":
        return self

    def __exit__(self, *reason: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the local workers, or leave the cluster."""
        client, cluster, self._client, self._cluster = self._client, self._cluster, None, None
        if client is not None:
            client.close()
        if cluster is not None:
            cluster.close()

    def map(
        self,
        function: Callable[..., Any],
        items: Sequence[Any],
        *,
        rng: np.random.Generator | None = None,
        progress: Progress | None = None,
    ) -> list[Any]:
        """Return the results in the order of the items; see `Executor.map`."""
        if len(items) < 2 or self.n_workers == 1:
            return SerialExecutor().map(function, items, rng=rng, progress=progress)
        import cloudpickle
        from distributed import as_completed

        arguments = arguments_of(items, rng)
        client = self._connected()
        n_batches = min(len(items), _BATCHES_PER_WORKER * max(1, len(_threads_of(client))))
        batches = [list(range(start, len(items), n_batches)) for start in range(n_batches)]
        futures = {
            client.submit(_run_batch, cloudpickle.dumps((function, [arguments[i] for i in batch])), pure=False): batch
            for batch in batches
        }
        results: list[Any] = [None] * len(items)
        done = 0
        try:
            for future in as_completed(futures, loop=client.loop):
                for i, result in zip(futures[future], future.result(), strict=True):
                    results[i] = result
                    done += 1
                    if progress is not None:
                        progress(done, len(items))
        except BaseException:
            client.cancel(list(futures))
            raise
        return results

    def _connected(self) -> "Client":
        """Return the client; start it, and the local workers, the first time."""
        if self._client is not None:
            return self._client
        import dask
        from distributed import Client, LocalCluster

        if self.scheduler is not None:
            try:
                self._client = Client(self.scheduler, timeout=_CONNECT_TIMEOUT, set_as_default=False)
            except (OSError, ValueError) as error:
                raise InputError(
                    "scheduler", expected="the address of a running Dask scheduler", got=f"{self.scheduler!r} ({error})"
                ) from error
            return self._client
        with dask.config.set(_SETTINGS):  # pyright: ignore[reportPrivateImportUsage]
            self._cluster = LocalCluster(
                n_workers=self.n_workers,
                threads_per_worker=1,
                processes=True,
                dashboard_address=None,  # pyright: ignore[reportArgumentType]
                host="127.0.0.1",
                memory_limit=0,
                silence_logs=50,
            )
        self._client = Client(self._cluster, set_as_default=False)
        return self._client


def _threads_of(client: "Client") -> dict[str, int]:
    """Return the threads of every worker."""
    return cast("dict[str, int]", client.nthreads())


def _run_batch(payload: bytes) -> list[Any]:
    """Run several items in a worker, each as `SerialExecutor` would.

    They arrive as bytes, so that what a worker cannot import is an error of this task and not of the connection.
    """
    function, batch = pickle.loads(payload)  # noqa: S301 (from our own parent process)
    return [call(function, arguments) for arguments in batch]


def default_workers(n_items: int) -> int:
    """Return how many workers are worth starting: one per core, at most four, one alone for a single item.

    Examples
    --------
    >>> default_workers(1)
    1
    """
    if n_items < 2:
        return 1
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(n_cores, 4)

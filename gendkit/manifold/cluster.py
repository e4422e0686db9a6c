"""Shards of a store shared out to processes of this machine or a cluster, by dask.distributed.

A worker that ends leaves its shard to another. It writes into the store itself, so that all workers
must see the same files.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from gendkit.device import Dtype, cores
from gendkit.errors import WorkerLost, first_line
from gendkit.manifold.shards import Job, Unfinished, embed_shard
from gendkit.model.adapter import Adapter
from gendkit.model.detector import Detector, load
from gendkit.optional import require
from gendkit.progress import Progress

TRIES = 5
WAIT = 30.0


def embed_shards(
    job: Job,
    unfinished: Unfinished,
    *,
    workers: int | None,
    scheduler: str | None,
    progress: Progress,
) -> None:
    """Embed what is left of a store on several workers.

    Parameters
    ----------
    job
        With all rows.
    unfinished
        The store; where it lies, all workers can write.
    workers
        How many processes are started on this machine, or None for those of the scheduler.
    scheduler
        Its address, such as `tcp://10.0.0.1:8786`.
    progress
        Told after each shard.

    Raises
    ------
    MissingDependency
        If dask.distributed is not installed.
    WorkerLost
        If the scheduler is not to be reached, or a shard's workers ended again and again.
    """
    distributed = require("distributed", extra="cluster")
    with _client(distributed, workers, scheduler) as client:
        todo = unfinished.todo()
        done = unfinished.count - sum(_size(unfinished, number) for number in todo)
        futures = {
            client.submit(
                _work, job.of(unfinished.rows(number)),
                unfinished, number, workers, pure=False,
            ): number
            for number in todo
        }  # fmt: skip
        for future in distributed.as_completed(futures):
            try:
                future.result()
            except distributed.KilledWorker:
                raise WorkerLost(
                    f"shard {futures[future]} of {unfinished.out} ended {TRIES} workers; look at "
                    "its crops, or at the machine's memory, and then --resume."
                ) from None
            done += _size(unfinished, futures[future])
            progress(done, unfinished.count, "embed")


@contextlib.contextmanager
def _client(distributed: Any, workers: int | None, scheduler: str | None) -> Iterator[Any]:
    import dask

    with contextlib.ExitStack() as stack:
        stack.callback(_restore, dict(os.environ))  # dask leaves OMP_NUM_THREADS=1 in it
        stack.enter_context(dask.config.set({"distributed.scheduler.allowed-failures": TRIES - 1}))
        if scheduler is None:
            scheduler = stack.enter_context(
                distributed.LocalCluster(
                    n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None
                )
            )
        try:
            client = distributed.Client(scheduler, timeout=WAIT)
        except (OSError, ValueError) as error:
            raise WorkerLost(
                f"the scheduler at {scheduler} is not to be reached: {first_line(error)}; start "
                "one with `dask scheduler`."
            ) from None
        yield stack.enter_context(client)


def _restore(environment: dict[str, str]) -> None:
    for name in set(os.environ) - set(environment):
        del os.environ[name]
    os.environ.update(environment)


def _size(unfinished: Unfinished, number: int) -> int:
    rows = unfinished.rows(number)
    return int(rows.stop - rows.start)


def _work(job: Job, unfinished: Unfinished, number: int, sharing: int | None) -> None:
    """Embed one shard in a worker; the manifest has its rows alone."""
    if sharing:
        _share_cores(sharing)
    detector = _detector(_Keyed(job.adapter), job.device, job.dtype)
    embed_shard(job, unfinished, number, detector=detector)


def _share_cores(sharing: int) -> None:
    import torch

    torch.set_num_threads(max(1, cores() // sharing))


class _Keyed:
    """An adapter that is looked up by its hash."""

    def __init__(self, adapter: Adapter) -> None:
        self.adapter = adapter

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Keyed) and other.adapter.hash == self.adapter.hash

    def __hash__(self) -> int:
        return hash(self.adapter.hash)


@lru_cache(maxsize=1)
def _detector(keyed: _Keyed, device: str, dtype: Dtype) -> Detector:
    """Load a detector once in a worker."""
    return load(keyed.adapter, device=device, dtype=dtype)

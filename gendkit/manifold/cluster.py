"""Shards of a store shared out to processes of this machine or a cluster, by dask.distributed.

A worker that ends leaves its shard to another. It writes into the store itself, so that all workers
must see the same files.
"""

from __future__ import annotations

from functools import lru_cache, partial

from gendkit.device import Dtype
from gendkit.manifold.shards import Job, Unfinished, embed_shard
from gendkit.model.adapter import Adapter
from gendkit.model.detector import Detector, load
from gendkit.processes import TRIES, cores, shared_out
from gendkit.progress import Progress


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
    workers, scheduler
        See `gendkit.processes.shared_out`.
    progress
        Told after each shard.

    Raises
    ------
    MissingDependency
        If dask.distributed is not installed.
    WorkerLost
        If the scheduler is not to be reached, or a shard's workers ended again and again.
    """
    todo = unfinished.todo()
    done = unfinished.count - sum(_size(unfinished, number) for number in todo)
    finished = shared_out(
        partial(_work, unfinished, workers),
        ((number, job.of(unfinished.rows(number))) for number in todo),
        workers=workers,
        scheduler=scheduler,
        lost=lambda task: (
            f"shard {task[0]} of {unfinished.out} ended {TRIES} workers; look at its crops, or at "
            "the machine's memory, and then --resume."
        ),
    )
    for (number, _), _ in finished:
        done += _size(unfinished, number)
        progress(done, unfinished.count, "embed")


def _size(unfinished: Unfinished, number: int) -> int:
    rows = unfinished.rows(number)
    return int(rows.stop - rows.start)


def _work(unfinished: Unfinished, sharing: int | None, task: tuple[int, Job]) -> None:
    """Embed one shard in a worker; the manifest has its rows alone."""
    number, job = task
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

"""From a manifest to batches: crops are read, augmented and normalised a few batches ahead.

What a batch holds depends only on the seed, the epoch and the manifest, not on the threads.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gendkit.data.augment import AUGMENTATIONS
from gendkit.data.augmentation import Augmentation
from gendkit.data.batched import BATCHED
from gendkit.data.degrade_batch import degrade_batch
from gendkit.data.degrade_image import degrade_image
from gendkit.data.manifest import Manifest
from gendkit.data.pixels import normalise_pixels, resize
from gendkit.data.stacked import StackedCrops
from gendkit.device import Mover
from gendkit.plugin.specs import Preprocessing
from gendkit.processes import cores

AHEAD = 3
CACHE_BYTES = 1 << 30
THREADS = 4
"""The most that read unless it is said: more wait for Python's lock, and the training thread with
them. With 16 cores beside an H200, ViT-L/14 took 516 packed crops a second from 4 threads and 380
from 16 with `gend`, 645 and 590 with `gend-batched`."""
Kept = TypeVar("Kept", NDArray[np.uint8], Tensor)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """B crops.

    Attributes
    ----------
    rows
        (B,) their rows in the manifest, of all processes.
    pixels
        (B, 3, S, S) normalised, on the loader's device; of several processes, this one's
        share.
    pairs
        How many are fakes whose target clip's real has a crop here too.
    waited
        Seconds that were waited for crops to be read, and made ready, on the host.
    """

    rows: NDArray[np.int64]
    pixels: Tensor
    pairs: int
    waited: float


class Loader:
    """Batches of a manifest's crops.

    The crops of training epochs are kept decoded in memory up to 1 GiB, so that later epochs do not
    read them again; resized, where the augmentation comes after the resize.

    Parameters
    ----------
    manifest
        Every row must have a crop; see `Manifest.faces`.
    preprocessing
        Of the backbone.
    batch_size
        Crops in a batch.
    augmentation
        A name, a chain of degradations, or both, as `gendkit.data.augmentation` says: of each crop
        before it is resized or, with a name in `ON_DEVICE`, of whole batches on the device. What is
        drawn for a crop depends on the seed, the epoch and its row alone.
    paired
        Keep the crops of one target clip, real and fake, together in the shuffled order; a clip
        without `pair` is its own target.
    seed
        Of order and augmentation.
    workers
        Threads that read and augment; None is as many as there are cores, up to `THREADS`.
    share
        Number of this process and of all: of a training batch it loads its even share, of batches
        in order each so many.
    device
        Where batches are normalised and left.

    Raises
    ------
    InvalidArgument
        For an unknown augmentation, or a value that a step cannot have.
    """

    def __init__(
        self,
        manifest: Manifest,
        preprocessing: Preprocessing,
        *,
        batch_size: int,
        augmentation: str = "none",
        paired: bool = False,
        seed: int = 0,
        workers: int | None = None,
        share: tuple[int, int] = (0, 1),
        device: str = "cpu",
    ) -> None:
        self.manifest = manifest
        self.preprocessing = preprocessing
        self.batch_size = batch_size
        self.augmentation = Augmentation.parse(augmentation)
        self.paired = paired
        self.seed = seed
        self.workers = workers or min(cores(), THREADS)
        self.share = share
        self.device = device
        self._targets = _targets(manifest)
        self._paths = manifest.table["path"].to_numpy(dtype=object)
        self._cache: dict[int, Any] = {}  # crops, or resized ones: one kind in a loader
        self._cached = 0
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[Batch]:
        """Yield all rows in order, the last batch as long as it is."""
        rows = np.arange(len(self.manifest))
        batches = np.split(rows, range(self.batch_size, len(rows), self.batch_size))
        rank, size = self.share
        yield from self._batches(batches[rank::size])

    def steps(self) -> int:
        """Return the number of batches of a training epoch; at least 1."""
        return max(1, len(self.manifest) // self.batch_size)

    def epoch(self, number: int, *, start: int = 0) -> Iterator[Batch]:
        """Yield shuffled, augmented batches; the last partial one is dropped.

        A manifest smaller than one batch gives one batch of all its rows.

        Parameters
        ----------
        number
            Of the epoch, from 0.
        start
            How many batches are left out at the beginning; the others are the same.
        """
        order = self._shuffled(np.random.default_rng([self.seed, number, 0]))
        size = min(self.batch_size, len(order))
        batches = [order[i * size : (i + 1) * size] for i in range(start, self.steps())]
        yield from self._batches(batches, epoch=number)

    def _shuffled(self, rng: np.random.Generator) -> NDArray[np.int64]:
        order = rng.permutation(len(self.manifest))
        if not self.paired:
            return order
        _, first, group = np.unique(self._targets[order], return_index=True, return_inverse=True)
        return order[np.argsort(first[group], kind="stable")]

    def _pairs(self, rows: NDArray[np.int64]) -> int:
        labels, targets = self.manifest.table["label"].to_numpy()[rows], self._targets[rows]
        return int(np.isin(targets[labels == 1], targets[labels == 0]).sum())

    def _batches(
        self, batches: list[NDArray[np.int64]], *, epoch: int | None = None
    ) -> Iterator[Batch]:
        mover = Mover(self.device)
        with ThreadPoolExecutor(self.workers) as pool, ThreadPoolExecutor(1) as joining:
            ahead: deque[tuple[NDArray[np.int64], Future[Callable[[], Tensor]]]] = deque()
            waiting = (rows for rows in batches if len(rows))
            try:
                while True:
                    while len(ahead) < AHEAD and (rows := next(waiting, None)) is not None:
                        own = rows if epoch is None else self._own(rows)
                        begin = self._begun(own, epoch, pool)
                        ahead.append((rows, joining.submit(_moved, begin, mover)))
                    if not ahead:
                        return
                    rows, begun = ahead.popleft()
                    start = time.perf_counter()
                    stacked = begun.result()()
                    waited = time.perf_counter() - start
                    if epoch is not None and self.augmentation.batched:
                        stacked = self._augmented(stacked, self._own(rows), epoch)
                    yield Batch(
                        rows=rows,
                        pixels=normalise_pixels(stacked, self.preprocessing),
                        pairs=self._pairs(rows),
                        waited=waited,
                    )
            finally:
                for executor in (pool, joining):
                    executor.shutdown(wait=False, cancel_futures=True)

    def _own(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        rank, size = self.share
        return np.array_split(rows, size)[rank]

    def _begun(
        self, rows: NDArray[np.int64], epoch: int | None, pool: ThreadPoolExecutor
    ) -> Callable[[], Tensor]:
        """Begin to read crops, and return what waits for them: B uint8 images (B, 3, S, S)."""
        augmentation = self.augmentation
        unchanged = augmentation.name == "none" and not augmentation.chain.steps
        if epoch is None or augmentation.batched or unchanged:
            crops, side = self.manifest.packed, self.preprocessing.size
            if isinstance(crops, StackedCrops) and crops.side == side:
                # As large as they are needed, they are read into the batch at once.
                whole = np.empty((len(rows), side, side, 3), np.uint8)
                parts = np.array_split(np.arange(len(rows)), min(self.workers, len(rows)))
                reads = [
                    pool.submit(crops.read, self._paths[rows[part]], whole[part[0] : part[-1] + 1])
                    for part in parts
                ]
                return partial(_filled, reads, whole)
        return partial(_joined, [pool.submit(self._image, int(row), epoch) for row in rows])

    def _image(self, row: int, epoch: int | None) -> Tensor:
        """Return a crop (3, S, S) uint8, augmented unless that is done with the whole batch."""
        if epoch is None:
            return self._resized(row)
        if self.augmentation.batched:
            return self._kept(row, self._resized)
        crop, rng = self._kept(row, self.manifest.crop), self._generator(row, epoch)
        augmented = AUGMENTATIONS[self.augmentation.name](crop, rng)
        if self.augmentation.chain.steps:
            augmented = degrade_image(augmented, self.augmentation.chain.draw(rng))
        return resize(augmented, self.preprocessing)

    def _augmented(self, images: Tensor, rows: NDArray[np.int64], epoch: int) -> Tensor:
        """Augment resized crops (B, 3, S, S) of some rows, each by its own draws."""
        rngs = [self._generator(int(row), epoch) for row in rows]
        images = BATCHED[self.augmentation.name](images, rngs)
        if self.augmentation.chain.steps:
            images = degrade_batch(images, [self.augmentation.chain.draw(rng) for rng in rngs])
        return images

    def _resized(self, row: int) -> Tensor:
        return resize(self.manifest.crop(row), self.preprocessing)

    def _generator(self, row: int, epoch: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, epoch, 1, row])

    def _kept(self, row: int, read: Callable[[int], Kept]) -> Kept:
        kept: Kept | None = self._cache.get(row)
        if kept is None:
            kept = read(row)
            with self._lock:
                if self._cached + kept.nbytes <= CACHE_BYTES:
                    self._cache[row] = kept
                    self._cached += kept.nbytes
        return kept


def _joined(images: list[Future[Tensor]]) -> Tensor:
    return torch.stack([image.result() for image in images])


def _filled(reads: list[Future[None]], whole: NDArray[np.uint8]) -> Tensor:
    for read in reads:
        read.result()
    return torch.from_numpy(whole).permute(0, 3, 1, 2)


def _moved(begin: Callable[[], Tensor], mover: Mover) -> Callable[[], Tensor]:
    return mover.begin(begin())


def _targets(manifest: Manifest) -> NDArray[np.int64]:
    """Number the target clips (N,): those of a pair, and each other clip by itself."""
    table = manifest.table
    target = table["pair"].where(table["pair"] != "", table["video"])
    names = (table["dataset"] + "\n" + target).to_numpy(dtype=object)
    return np.unique(names, return_inverse=True)[1].reshape(-1)

"""From face crops to normalised batches, each made while the one before is used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gendkit.data.pixels import normalise_pixels, resize
from gendkit.device import Mover
from gendkit.errors import InvalidArgument, InvalidImage
from gendkit.plugin.specs import Preprocessing

BATCH = 32


def batches(
    crops: Iterable[NDArray[np.uint8]],
    preprocessing: Preprocessing,
    batch_size: int,
    *,
    device: str = "cpu",
) -> Iterator[Tensor]:
    """Yield crops as normalised batches (B, 3, S, S), each made while the one before is used.

    Errors as for `Detector.outputs`.
    """
    check_positive("batch_size", batch_size)
    if not isinstance(crops, Iterable) or (isinstance(crops, np.ndarray) and crops.ndim in (2, 3)):
        shape = f" {crops.shape}" if isinstance(crops, np.ndarray) else ""
        raise InvalidImage(
            f"crops are a list of RGB uint8 arrays (H, W, 3), got one "
            f"{type(crops).__name__}{shape}; give a list of crops, such as [crop]."
        )
    waiting, mover = iter(crops), Mover(device)
    ready: Future[Callable[[], Tensor]] | None = None
    with ThreadPoolExecutor(max_workers=1) as pool:
        while batch := list(islice(waiting, batch_size)):
            before, ready = ready, pool.submit(_begun, batch, preprocessing, mover)
            if before is not None:
                yield normalise_pixels(before.result()(), preprocessing)
        if ready is not None:
            yield normalise_pixels(ready.result()(), preprocessing)


def _begun(
    batch: list[NDArray[np.uint8]], preprocessing: Preprocessing, mover: Mover
) -> Callable[[], Tensor]:
    return mover.begin(torch.stack([resize(crop, preprocessing) for crop in batch]))


def check_positive(name: str, value: int) -> None:
    """Refuse an argument that is less than 1.

    Raises
    ------
    InvalidArgument
        Saying which.
    """
    if value < 1:
        raise InvalidArgument(f"{name} is {value}; give 1 or more.")

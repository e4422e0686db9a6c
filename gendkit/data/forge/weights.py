"""What a small network has learnt, as a plain value; and the cache in which it is kept.

In go tensors by name, out comes a `Weights`, which can be compared, hashed and pickled. A clip
carries the weights that it needs, below a megabyte, because it may be rendered in another process
or on another machine, where the cache of this one is not. The cache only saves fitting again: a
file in it is named by a hash of all that the weights were fitted on.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

FOLDER = "fitted"
# Part of every key: another number when a network or the way it is fitted changes.
_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Tensors as bytes.

    Attributes
    ----------
    arrays
        (name, shape, little-endian float16) of each tensor. Half precision is rounded once, when
        they are packed, so all who use them use the same numbers.
    """

    arrays: tuple[tuple[str, tuple[int, ...], bytes], ...] = field(repr=False)

    @classmethod
    def pack(cls, tensors: Mapping[str, torch.Tensor]) -> Weights:
        """Return the weights of tensors on the CPU."""
        return cls(
            arrays=tuple(
                (name, tuple(t.shape), t.detach().numpy().astype("<f2").tobytes())
                for name, t in tensors.items()
            )
        )

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the tensors as float64.

        In double precision the order of a sum, which depends on the number of threads, does not
        show in a pixel.
        """
        import torch

        return {
            name: torch.from_numpy(np.frombuffer(data, "<f2").reshape(shape).astype(np.float64))
            for name, shape, data in self.arrays
        }

    def only(self, names: Iterable[str]) -> Weights:
        """Return some of the tensors."""
        chosen = set(names)
        return Weights(arrays=tuple(a for a in self.arrays if a[0] in chosen))


def kept(name: str, fitted_on: Iterable[Any], fit: Callable[[], Weights]) -> Weights:
    """Return weights from the cache, or fit them and keep them there.

    A cache that cannot be written is no error: the weights are then fitted each time.

    Parameters
    ----------
    name
        Of the family.
    fitted_on
        Arrays and plain values: all that decides what comes out, besides the version of torch,
        which is added here.
    fit
        Called if they are not there.
    """
    import torch

    from gendkit.data.assets import cache_folder

    digest = hashlib.sha256(f"{_FORMAT}/{name}/{torch.__version__}".encode())
    for part in fitted_on:
        if isinstance(part, np.ndarray):
            digest.update(f"{part.dtype}{part.shape}".encode())
            digest.update(np.ascontiguousarray(part).tobytes())
        else:
            digest.update(repr(part).encode())
    path = cache_folder() / FOLDER / f"{name}-{digest.hexdigest()[:32]}.npz"
    try:
        return _read(path)
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):  # not there, or cut off
        weights = fit()
        _write(path, weights)
        return weights


def _read(path: Path) -> Weights:
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        return Weights(
            arrays=tuple(
                (name, tuple(int(n) for n in file[name].shape), file[name].tobytes())
                for name in file.files
            )
        )


def _write(path: Path, weights: Weights) -> None:
    arrays = {n: np.frombuffer(data, "<f2").reshape(shape) for n, shape, data in weights.arrays}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
            np.savez(file, allow_pickle=False, **arrays)
        os.replace(file.name, path)
    except OSError as error:
        log.warning("fitted weights cannot be kept in %s: %s", path.parent, error)

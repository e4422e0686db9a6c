"""Is a clip like those that a calibration rests on? Points that a JSON file can hold answer it.

Mean embeddings of the calibration's clips are kept; `gendkit.manifold.novelty` is asked of them.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from pydantic import ConfigDict

from gendkit.evaluate.clips import unit
from gendkit.manifold.novelty import ALPHA, MOST, calibrate, novelty
from gendkit.manifold.store import ADAPTER
from gendkit.measure.calibration import STRICT

NEIGHBOURS = 5


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """Clips of P groups of people, as points on the sphere.

    Attributes
    ----------
    points
        (N, D) little-endian float16 in base64, of unit length.
    dim
        D.
    groups
        (N,) group of each.
    k, alpha, seed
        As for `gendkit.manifold.novelty.novelty`.
    """

    points: str
    dim: int
    groups: tuple[int, ...]
    k: int = NEIGHBOURS
    alpha: float = ALPHA
    seed: int = 0
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    def __post_init__(self) -> None:
        """Refuse points that are not as many as their groups."""
        if len(base64.b64decode(self.points)) != 2 * self.dim * len(self.groups):
            raise ValueError(f"points are not {len(self.groups)} of {self.dim} numbers")

    @classmethod
    def of(cls, vectors: NDArray[np.float32], groups: ArrayLike, *, seed: int = 0) -> Likeness:
        """Keep the points (N, D) of at most `2 * MOST` groups (N,), drawn by the seed."""
        given = np.asarray(groups, np.int64)
        chosen = np.random.default_rng(seed).permutation(np.unique(given))[: 2 * MOST]
        rows = np.isin(given, chosen)
        kept = np.ascontiguousarray(vectors[rows], "<f2")
        return cls(
            points=base64.b64encode(kept.tobytes()).decode(),
            dim=vectors.shape[1],
            groups=tuple(given[rows].tolist()),
            seed=seed,
        )

    def p_values(
        self, vectors: NDArray[np.float32], *, together: bool = False
    ) -> NDArray[np.float64]:
        """Return of clips (Q, D) how rare it is among the points to be as far from the others.

        Parameters
        ----------
        together
            Whether they are people of one file, whose p-values are then Holm's.
        """
        if not len(vectors):
            return np.zeros(0)
        names = np.arange(len(vectors))
        asked = xr.Dataset(
            {
                "embedding": (("sample", "feature"), unit(vectors)),
                "video": ("sample", [f"asked-{0 if together else i}" for i in names]),
                "track": ("sample", names if together else np.zeros(len(vectors), np.int64)),
            },
            coords={"sample": np.array([f"asked-{i}" for i in names], object)},
            attrs={ADAPTER: ""},
        )
        found = novelty(asked, self._reference, k=self.k, alpha=self.alpha, seed=self.seed)
        return np.asarray(found["novelty_p"].to_numpy(), np.float64)

    def unlike(self, p: ArrayLike) -> NDArray[np.bool_]:
        """Return which p-values (Q,) are so low that a clip counts as unlike the points."""
        return np.asarray(np.asarray(p, np.float64) <= self.alpha * (1 + 1e-6), np.bool_)

    @property
    def limit(self) -> str:
        """Why nothing can be called unlike the points; empty if it can."""
        least = calibrate(self._reference, k=self.k, seed=self.seed).least
        if least <= self.alpha:
            return ""
        people = len(set(self.groups))
        return (
            f"whether a clip is unlike the calibration's cannot be told from {people} groups of "
            f"people; it takes {2 * round(1 / self.alpha - 1)}"
        )

    @property
    def _reference(self) -> xr.Dataset:
        flat = np.frombuffer(base64.b64decode(self.points), "<f2").reshape(-1, self.dim)
        names = range(len(flat))
        return xr.Dataset(
            {
                "embedding": (("sample", "feature"), unit(flat.astype(np.float64))),
                "target_identity": ("sample", [f"group-{g}" for g in self.groups]),
                "video": ("sample", [f"clip-{i}" for i in names]),
            },
            coords={"sample": np.array([f"clip-{i}" for i in names], object)},
            attrs={ADAPTER: ""},
        )

"""Principal components of many points, in float64 and without a second copy of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from gendkit.manifold.sphere import log_map

AT_ONCE = 8192
Floats = NDArray[np.float64]


def principal(
    embedding: NDArray[np.float32], *, axes: int = 2, around: Floats | None = None
) -> Floats:
    """Return coordinates (N, axes) along the directions of greatest variance.

    Signs are such that the greatest component of a direction is positive.

    Parameters
    ----------
    embedding
        (N, D) unit vectors.
    axes
        How many; beyond D, coordinates are 0.
    around
        (D,) of unit length: take the tangent vectors there, which lead to the points, and their
        variance about 0. By default it is the points themselves about their mean.
    """
    dim = embedding.shape[1]
    middle = embedding.mean(axis=0, dtype=np.float64) if around is None else np.zeros(dim)

    def parts() -> Iterator[Floats]:
        for first in range(0, len(embedding), AT_ONCE):
            part = embedding[first : first + AT_ONCE]
            yield (part if around is None else log_map(around, part)) - middle

    scatter = np.zeros((dim, dim))
    for part in parts():
        scatter += part.T @ part
    directions = np.linalg.eigh(scatter)[1][:, ::-1][:, :axes]
    signs = np.sign(directions[np.abs(directions).argmax(axis=0), range(directions.shape[1])])
    found = np.concatenate([part @ (directions * signs) for part in parts()])
    return np.pad(found, ((0, 0), (0, axes - found.shape[1])))

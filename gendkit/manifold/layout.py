"""UMAP's layout: from a weighted graph to places in the plane or on a globe, the same by its seed.

The steps are those of umap-learn, in the same order and on one thread. Three things make it several
times faster: forces are looked up in a table of squared distances (64 an octave) instead of two
powers each, edges lie row by row, and places start from principal components, not from a spectral
layout. On a globe the places are brought back to its surface after each step.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Places = NDArray[np.float64]

GLOBE_RADIUS = 5.0
"""Of the globe while it is laid out, in units of UMAP's plane, where the nearest are 0.1 apart.
On one of radius 1, as umap-learn has it, 20,000 points are too crowded to keep their neighbours."""
CURVE = (1.576943460405378, 0.8950608781227859)
"""a and b of 1 / (1 + a d^(2b)), as umap-learn fits them for min_dist = 0.1 and spread = 1."""
HALVINGS, LEAST_RATE = 64, 1e-3
MANY, EPOCHS, EPOCHS_OF_FEW = 10_000, 200, 500
NEGATIVES, STEP, STIFF = 5, 4.0, 1e-3
BOX, NOISE = 10.0, 1e-4
OCTAVE, LOWEST, HIGHEST = 64, -20, 14
"""Entries of the table an octave of the squared distance, and its ends as powers of two."""
SHIFT = 23 - OCTAVE.bit_length() + 1
FIRST = (127 + LOWEST) * OCTAVE


def fuzzy_graph(rows: NDArray[np.int64], distances: NDArray[np.float32]) -> sparse.csr_array:
    """Return UMAP's weights (N, N) in 0..1 of the edges of a neighbour graph, both ways.

    A neighbour's weight falls with its distance beyond the nearest one's, at a rate by which those
    of a point sum up to the logarithm of k; an edge is there if either end has it (probabilistic
    or). As umap-learn's `fuzzy_simplicial_set`.

    Parameters
    ----------
    rows, distances
        (N, k) each point's nearest, itself first, and how far they are.

    References
    ----------
    McInnes, Healy and Melville, UMAP: Uniform Manifold Approximation and Projection, 2018.
    """
    count, k = rows.shape
    far = distances.astype(np.float64)
    nearest = np.where(far > 0, far, np.inf).min(axis=1)
    nearest[~np.isfinite(nearest)] = 0
    beyond = np.maximum(far[:, 1:] - nearest[:, None], 0)
    low, high, rate = np.zeros(count), np.full(count, np.inf), np.ones(count)
    for _ in range(HALVINGS):
        above = np.exp(-beyond / rate[:, None]).sum(axis=1) > np.log2(k)
        low, high = np.where(above, low, rate), np.where(above, rate, high)
        rate = np.where(np.isfinite(high), (low + high) / 2, 2 * rate)
    least = np.where(nearest > 0, far.mean(axis=1), far.mean())
    rate = np.maximum(rate, LEAST_RATE * least)
    weight = np.exp(-beyond / np.maximum(rate, np.finfo(np.float64).tiny)[:, None])
    heads = np.repeat(np.arange(count), k - 1)
    one = sparse.csr_array(
        (weight.ravel().astype(np.float32), (heads, rows[:, 1:].ravel())), shape=(count, count)
    )
    both = one.multiply(one.T)
    return sparse.csr_array(one + one.T - both)


def lay_out(
    weights: sparse.csr_array,
    start: NDArray[Any],
    *,
    seed: int,
    globe: bool = False,
    epochs: int | None = None,
) -> Places:
    """Return places (N, A) at which what is joined is near and the rest is not.

    Parameters
    ----------
    weights
        (N, N) in 0..1, symmetric.
    start
        (N, A) places to begin with, at any scale.
    seed
        Of the noise at the start and of the points that push each other away.
    globe
        Keep to a sphere around 0, whose places are returned with length 1.
    epochs
        By default umap-learn's: 200 for more than 10,000 points, else 500.

    References
    ----------
    McInnes, Healy and Melville, UMAP: Uniform Manifold Approximation and Projection, 2018.
    """
    rng = np.random.default_rng(seed)
    count = weights.shape[0]
    epochs = epochs or (EPOCHS if count > MANY else EPOCHS_OF_FEW)
    kept = weights.copy()
    kept.data[kept.data < kept.data.max(initial=0) / epochs] = 0
    kept.eliminate_zeros()
    middle = np.asarray(start, np.float64) - np.mean(start, axis=0)
    reach = np.abs(middle).max() if globe else np.abs(middle).max(axis=0)
    places = BOX / 2 * middle / np.where(reach > 0, reach, 1)
    places += rng.normal(scale=BOX * NOISE, size=places.shape)
    if globe:
        places *= GLOBE_RADIUS / np.linalg.norm(places, axis=1, keepdims=True)
    pull, push = _forces()
    done = _compiled()(
        places.astype(np.float32), kept.indptr, kept.indices,
        (kept.data.max(initial=0) / kept.data).astype(np.float32), epochs, pull, push,
        np.float32(GLOBE_RADIUS if globe else 0), np.uint64(rng.integers(1, 1 << 63)),
    )  # fmt: skip
    out: Places = done.astype(np.float64)
    return out / np.linalg.norm(out, axis=1, keepdims=True) if globe else out


def _forces() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the tables by which a difference is multiplied, joined and not."""
    a, b = CURVE
    squared = 2.0 ** (LOWEST + (np.arange((HIGHEST - LOWEST) * OCTAVE) + 0.5) / OCTAVE)
    far = a * squared**b
    pull = -2 * b * far / (squared * (far + 1))
    push = 2 * b / ((STIFF + squared) * (far + 1))
    return pull.astype(np.float32), push.astype(np.float32)


@cache
def _compiled() -> Any:
    import numba

    return numba.njit(fastmath=True, nogil=True)(_descend)


def _descend(
    at: Any, starts: Any, ends: Any, period: Any, epochs: int, pull: Any, push: Any, radius: Any,
    state: Any,
) -> Any:  # fmt: skip
    """Move places (N, A) in turns: along each edge that is due, and away from random points."""
    count, axes = at.shape
    due = period.copy()
    last, step = len(pull) - 1, np.float32(STEP)
    for epoch in range(epochs):
        rate = np.float32(1 - epoch / epochs)
        for i in range(count):
            for edge in range(starts[i], starts[i + 1]):
                if due[edge] > epoch + 1:
                    continue
                due[edge] += period[edge]
                j = np.int64(ends[edge])
                for turn in range(NEGATIVES + 1):
                    if turn:  # xorshift64 (Marsaglia, 2003), of which the upper half is taken
                        state ^= state << np.uint64(13)
                        state ^= state >> np.uint64(7)
                        state ^= state << np.uint64(17)
                        upper = state >> np.uint64(32)
                        j = np.int64((upper * np.uint64(count)) >> np.uint64(32))
                    squared = np.float32(0)
                    for axis in range(axes):
                        squared += (at[i, axis] - at[j, axis]) ** 2
                    if squared <= np.float32(0):
                        continue
                    # Exponent and first bits of a float32 are its place on a scale of octaves.
                    bits: Any = np.float32(squared).view(np.int32)
                    place = min(max((bits >> SHIFT) - FIRST, 0), last)
                    force = push[place] if turn else pull[place]
                    for axis in range(axes):
                        moved = force * (at[i, axis] - at[j, axis])
                        moved = rate * min(max(moved, -step), step)
                        at[i, axis] += moved
                        if turn == 0:
                            at[j, axis] -= moved
                    if radius > 0:
                        for other in range(2 if turn == 0 else 1):
                            point = j if other else i
                            length = np.float32(0)
                            for axis in range(axes):
                                length += at[point, axis] ** 2
                            back = radius / math.sqrt(length)
                            for axis in range(axes):
                                at[point, axis] *= back
    return at

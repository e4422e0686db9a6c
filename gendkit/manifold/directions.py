"""Whether the steps of people have a direction in common: tangent vectors at one point enter.

The consistency is the mean cosine between the directions of two steps of different people. It is
the squared length of the mean direction without what each person adds with themselves, so that
its expectation is 0 for directions that have nothing in common, however few there are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gendkit.manifold.sphere import Floats

TINY = 1e-9
"""Length in radians below which a step has no direction."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Directions:
    """The directions of steps, summed by person.

    Attributes
    ----------
    sums
        (P, D) each person's sum of unit vectors.
    counts
        (P,) how many they are; steps of length 0 have no direction.
    """

    sums: Floats
    counts: Floats

    @classmethod
    def of(cls, steps: Floats, member: NDArray[np.int64], people: int) -> Directions:
        """Sum the directions of tangent vectors (N, D) at one point.

        Parameters
        ----------
        steps
            All at one point: see `gendkit.manifold.sphere.transport`.
        member
            (N,) number of the person of each.
        people
            P.
        """
        lengths = np.linalg.norm(steps, axis=1)
        moved = lengths > TINY
        sums = np.zeros((people, steps.shape[1]))
        np.add.at(sums, member[moved], steps[moved] / lengths[moved, None])
        counts = np.bincount(member[moved], minlength=people).astype(np.float64)
        return cls(sums=sums, counts=counts)

    def consistency(self, times: Floats) -> Floats:
        """Return the mean cosine (...) of people who are there `times` (..., P); NaN of one alone.

        A person who is drawn twice adds nothing with themselves.
        """
        n = times * self.counts
        pairs = n.sum(axis=-1) ** 2 - (n**2).sum(axis=-1)
        own = (times**2) @ (self.sums**2).sum(axis=1)
        across = ((times @ self.sums) ** 2).sum(axis=-1) - own
        return np.where(pairs > 0.5, across / np.maximum(pairs, 1.0), np.nan)

    def null(self, *, draws: int, seed: int) -> Floats:
        """Return consistencies (draws,) with each person's steps turned around or not, by chance.

        This keeps how steps of one person belong together and in which axes steps lie, and takes
        away that people move the same way along them.

        References
        ----------
        Good, Permutation, Parametric and Bootstrap Tests of Hypotheses, 2005 (symmetry about zero).
        """
        signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(draws, len(self.counts)))
        pairs = self.counts.sum() ** 2 - (self.counts**2).sum()
        if pairs < 0.5:
            return np.full(draws, np.nan)
        across = ((signs @ self.sums) ** 2).sum(axis=-1) - (self.sums**2).sum()
        return np.asarray(across / pairs)

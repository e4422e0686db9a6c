"""From the clips of a study to what is measured of any resample of people, seeds and families.

Scores (..., clip) enter; arrays leave, of which `estimates` makes intervals. People are connected
components of clips: nobody is drawn without those whom he lends his face to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from gendkit.evaluate.study.setting import kinds
from gendkit.measure.intervals import (
    COMPONENT,
    Counts,
    Floats,
    components_of_mean,
    estimates,
    rarer_components,
)
from gendkit.measure.metrics import Ranked

SEED, FAMILY = "seed", "family"


class Clips:
    """The clips of a study, and AUROCs of them for any resample.

    Parameters
    ----------
    ds
        As `by_clip` gives it, of one split without degraded clips: `score` (..., seed, clip).
    families
        Of which each is compared with all reals.
    """

    def __init__(self, ds: xr.Dataset, families: Sequence[str]) -> None:
        dims = [d for d in ds["score"].dims if d not in (SEED, "clip")]
        self.dims = tuple(str(d) for d in dims)
        self.scores: Floats = ds["score"].transpose(*dims, SEED, "clip").to_numpy()
        self.families = tuple(families)
        self.label = ds["label"].to_numpy()
        self.kind = kinds(ds[["label", "family", "method"]].reset_coords().to_dataframe())
        found, self.code = np.unique(ds[COMPONENT].to_numpy(), return_inverse=True)
        self.components, self.seeds = len(found), ds.sizes[SEED]

    def sizes(self, *chosen: NDArray[np.bool_]) -> dict[str, int]:
        """Return how many there are of what is resampled, each mean's own families apart."""
        sizes = {COMPONENT: self.components, SEED: self.seeds}
        return sizes | {factor(g): int(families.sum()) for g, families in enumerate(chosen)}

    @cached_property
    def ranked(self) -> tuple[tuple[NDArray[np.int64], Ranked], ...]:
        """Of each family, its clips and all reals, and their scores in order."""
        real = self.label == 0
        rows = [np.flatnonzero(real | (self.kind == name)) for name in self.families]
        return tuple((r, Ranked(self.label[r], self.scores[..., r])) for r in rows)

    def estimated(
        self, statistic: Callable[[Counts], Mapping[str, Floats]], *chosen: NDArray[np.bool_],
        means: Sequence[str],
    ) -> dict[str, Floats]:  # fmt: skip
        """Return `estimates` of a statistic.

        Parameters
        ----------
        statistic
            From counts to `auroc` (..., F) by family, and means over the families of each group.
        chosen
            (F,) the families of each group.
        means
            Names of the means; (..., G) if there are several groups.
        """
        rarer = np.asarray([self.rarer_of(of) for of in chosen])
        components = {"auroc": self.rarer, **dict.fromkeys(means, rarer)}
        return estimates(statistic, self.sizes(*chosen), components=components)

    @cached_property
    def rarer(self) -> NDArray[np.int64]:
        """Of each family (F,), how many components its rarer class has, reals or its fakes."""
        return np.asarray([rarer_components(*self._part(f)) for f in range(len(self.families))])

    def rarer_of(self, chosen: NDArray[np.bool_]) -> int:
        """Return the same of the mean over the chosen families (F,)."""
        return components_of_mean([self._part(int(f)) for f in np.flatnonzero(chosen)])

    def _part(self, family: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        rows, _ = self.ranked[family]
        return self.label[rows], self.code[rows]

    def auroc(self, counts: Counts) -> Floats:
        """Return AUROCs (..., seed, family) of a resample of components."""
        weight = counts[COMPONENT][self.code]
        return np.stack([one.auroc(weight[rows]) for rows, one in self.ranked], axis=-1)

    def by_family(self, counts: Counts) -> Floats:
        """Return AUROCs (..., family), the mean over the seeds that were drawn."""
        return over_seeds(self.auroc(counts), counts)


def over_seeds(values: Floats, counts: Counts) -> Floats:
    """Return the mean of values (..., seed, X) over the seeds that were drawn (..., X)."""
    return np.asarray(np.moveaxis(values, -2, -1) @ counts[SEED] / counts[SEED].sum())


def over_families(
    values: Floats, counts: Counts, chosen: NDArray[np.bool_], *, group: int = 0
) -> Floats:
    """Return the mean of values (..., F) over the chosen families, as they were drawn (...).

    They are drawn among themselves: families that are in no mean say nothing about how much those
    that are in it differ.
    """
    weight = counts[factor(group)]
    return np.asarray(values[..., chosen] @ weight / weight.sum())


def factor(group: int) -> str:
    """Return the name by which the families of a mean are resampled."""
    return f"{FAMILY} {group}" if group else FAMILY

"""Bootstrap intervals over what was sampled: people and seeds, never frames.

`bootstrap` resamples one kind of group. `crossed` resamples several kinds that cross each other,
such as connected components of clips, training seeds and forgery families; `joint_components` gives
the components of several data sets together.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gendkit.errors import InvalidArgument, InvalidLabels
from gendkit.markup import card, number
from gendkit.measure.metrics import Ranked

if TYPE_CHECKING:
    import pandas as pd

    from gendkit.data.manifest import Manifest

Statistic = Callable[[NDArray[np.int64]], Mapping[str, float]]
Counts = Mapping[str, NDArray[np.int64]]
"""How often each level of a factor counts (levels,), by the factor's name."""
ALONE = 200
"""Resamples in which one factor alone varies, to see how much of the interval it makes."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """An estimate with its percentile interval."""

    value: float
    low: float
    high: float

    def _repr_html_(self) -> str:
        return card("Interval", {"value": number(self.value), "interval": self._ends})

    @property
    def _ends(self) -> str:
        return f"{number(self.low)} to {number(self.high)}"


def bootstrap(
    statistic: Statistic,
    groups: Sequence[str],
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:
    """Resample whole groups with replacement and recompute every statistic on the same resample.

    Statistics that are computed together are paired: a difference among them has the interval of
    the difference.

    Parameters
    ----------
    statistic
        From row numbers (with repetitions) to named numbers; NaN where undefined.
    groups
        (N,) the group of each row, such as the identity.
    resamples, level, seed
        Number of resamples, coverage of the interval, seed of the draws.

    References
    ----------
    Efron and Tibshirani, An Introduction to the Bootstrap, 1993 (percentile interval); the group is
    the sampling unit as in Field and Welsh, Bootstrapping clustered data, JRSS B 2007.
    """
    names = np.asarray(groups)
    members = [np.flatnonzero(names == g) for g in sorted(set(names.tolist()))]
    value = statistic(np.arange(len(names)))
    rng = np.random.default_rng(seed)
    draws: dict[str, list[float]] = {key: [] for key in value}
    for _ in range(resamples if members else 0):
        chosen = rng.integers(len(members), size=len(members))
        drawn = statistic(np.concatenate([members[i] for i in chosen]))
        for key in draws:
            draws[key].append(drawn[key])
    tail = (1 - level) / 2
    return {key: _interval(value[key], draws[key], tail) for key in value}


def crossed(
    statistic: Callable[[Counts], Mapping[str, float]],
    sizes: Mapping[str, int],
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:
    """Resample several factors independently, and recompute every statistic on the same resample.

    Each factor's levels are drawn with replacement, as many as there are, whatever is drawn of the
    others: a score is there as often as its component, times its seed, times its family. Statistics
    that are computed together are paired.

    The ends are percentiles further out than `level` says: the bootstrap of few levels is too
    narrow, by sqrt((n - 1) / n) and by what Student's t has over the normal distribution. Both are
    made good (Hesterberg), with the degrees of freedom of Welch and Satterthwaite for the mixture
    of the factors, whose parts are seen in `ALONE` more resamples of each. With two or three levels
    the ends are then the lowest and highest mean that can be drawn, which is still too narrow.

    Parameters
    ----------
    statistic
        From the counts of each factor's levels, 1 for the estimate and 0 or more for a resample,
        to named numbers; NaN where undefined. To be scaled as a mean is: by the sum of the counts.
    sizes
        By the name of each factor, how many levels it has: ``{"component": 40, "seed": 5}``. One
        with a single level does not vary: the interval then says nothing about others.
    resamples, level, seed
        Number of resamples, coverage of the interval, seed of the draws. A factor's draws do not
        depend on which others there are.

    Returns
    -------
    dict
        By the names of the statistic; resamples in which a number is undefined are left out of it.

    Raises
    ------
    InvalidArgument
        Without a factor, for one without a level, and for impossible numbers.

    References
    ----------
    Owen, The pigeonhole bootstrap, Annals of Applied Statistics 1, 2007 (crossed factors; where the
    factors interact much the interval is wider than needed; that none is exact is McCullagh's,
    Bernoulli 6, 2000). Hesterberg, What teachers should know about the bootstrap, The American
    Statistician 69, 2015 (expanded percentiles). Satterthwaite, Biometrics Bulletin 2, 1946.
    """
    _check(sizes, resamples=resamples, level=level)
    ones = {name: np.ones(size, dtype=np.int64) for name, size in sizes.items()}
    draws = {name: _drawn(name, size, resamples, seed) for name, size in sizes.items()}
    value = statistic(ones)
    together = _evaluated(statistic, value, [
        {name: counts[i] for name, counts in draws.items()} for i in range(resamples)
    ])  # fmt: skip
    varying = [name for name, size in sizes.items() if size > 1]
    alone = dict.fromkeys(varying, together)
    if len(varying) > 1:
        alone = {
            name: _evaluated(statistic, value, [
                {**ones, name: counts} for counts in draws[name][: min(ALONE, resamples)]
            ])
            for name in varying
        }  # fmt: skip
    found = {}
    for key in value:
        tail = _tail(level, [(sizes[name], _variance(alone[name][key])) for name in varying])
        found[key] = _interval(value[key], together[key], tail)
    return found


def paired_difference(
    labels: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    components: ArrayLike,
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:
    """Compare the AUROCs of two detectors on the same clips, by the same resamples for both.

    Parameters
    ----------
    labels
        (N,) of clips: 0 or 1.
    first, second
        Scores (N,), or (S, N) of a detector that was trained with S seeds, whose AUROCs are
        averaged. Where both have seeds, the k-th of one and of the other are drawn together.
    components
        (N,) connected component of each clip; see `joint_components`.
    resamples, level, seed
        Of `crossed`.

    Returns
    -------
    dict
        `first`, `second` and `difference` (second - first), each an `Interval`.

    Raises
    ------
    InvalidLabels
        If shapes or numbers of seeds do not fit, or a score is not finite: both detectors have to
        score the same clips.
    """
    scores = [np.asarray(s, dtype=np.float64) for s in (first, second)]
    found = [Ranked(labels, s[None] if s.ndim == 1 else s) for s in scores]
    group = np.asarray(components)
    if group.shape != np.shape(labels):
        raise InvalidLabels(f"{group.shape} components for {np.shape(labels)} labels; one a clip.")
    number = np.unique(group, return_inverse=True)[1]
    seeds = {len(s) for s in scores if s.ndim == 2}
    if max((s.ndim for s in scores), default=1) > 2 or len(seeds) > 1:
        raise InvalidLabels(
            f"scores are {scores[0].shape} and {scores[1].shape}; expected (N,), or (seeds, N) "
            "with as many seeds in both."
        )
    sizes = {"component": int(number.max(initial=-1)) + 1, "seed": max(seeds, default=1)}

    def statistic(counts: Counts) -> Mapping[str, float]:
        weights = counts["component"][number]
        one, other = (
            float(np.average(a, weights=counts["seed"] if len(a) > 1 else None))
            for a in (ranked.auroc(weights) for ranked in found)
        )
        return {"first": one, "second": other, "difference": other - one}

    return crossed(statistic, sizes, resamples=resamples, level=level, seed=seed)


def joint_components(
    manifests: Sequence[Manifest | pd.DataFrame], *, alike: Sequence[Sequence[str]] = ()
) -> list[NDArray[np.int64]]:
    """Return for each row of each manifest the number of its connected component over all of them.

    Clips are linked as in `Manifest.components`, across manifests too: those of one data set share
    their names of clips and people wherever they stand. Numbers are in order of appearance.

    Parameters
    ----------
    manifests
        Or tables with their columns.
    alike
        Groups of data sets whose names mean the same clips and people, such as
        ``[("faceforensics", "df40")]``, whose fakes were made of the same reals. It cannot be known
        from the names.

    Returns
    -------
    list of NDArray
        (rows,) of each manifest.

    Raises
    ------
    InvalidArgument
        If a data set stands in two groups, or is in no manifest.
    """
    import pandas as pd

    from gendkit.data.links import CLIP, LINKS, components

    columns = list(dict.fromkeys([*CLIP, *(name for names in LINKS.values() for name in names)]))
    tables = [m if isinstance(m, pd.DataFrame) else m.table for m in manifests]
    if not tables:
        return []
    whole = pd.concat([table[columns] for table in tables], ignore_index=True)
    named, there = [name for group in alike for name in group], set(whole["dataset"])
    if twice := {name for name in named if named.count(name) > 1}:
        raise InvalidArgument(f"data set {min(twice)!r} stands twice in alike; join its groups.")
    if unknown := set(named) - there:
        raise InvalidArgument(
            f"data set {min(unknown)!r} of alike is in no manifest; there is "
            f"{', '.join(sorted(there))}."
        )
    first = {name: group[0] for group in alike for name in group}
    whole["dataset"] = whole["dataset"].replace(first)
    ends = np.cumsum([len(table) for table in tables])[:-1]
    return list(np.split(components(whole), ends))


def _check(sizes: Mapping[str, int], *, resamples: int, level: float) -> None:
    if not sizes or any(size < 1 for size in sizes.values()):
        raise InvalidArgument(
            f"sizes is {dict(sizes)}; expected a factor or more, each with a level or more."
        )
    if resamples < 1 or not 0 < level < 1:
        raise InvalidArgument(
            f"resamples is {resamples} and level {level}; expected 1 or more, and a share."
        )


def _drawn(name: str, size: int, resamples: int, seed: int) -> NDArray[np.int64]:
    """Return how often each level was drawn (resamples, levels)."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    return rng.multinomial(size, np.full(size, 1 / size), size=resamples).astype(np.int64)


def _evaluated(
    statistic: Callable[[Counts], Mapping[str, float]],
    value: Mapping[str, float],
    resamples: Sequence[Counts],
) -> dict[str, list[float]]:
    draws: dict[str, list[float]] = {key: [] for key in value}
    for counts in resamples:
        drawn = statistic(counts)
        for key in draws:
            draws[key].append(float(drawn[key]))
    return draws


def _variance(draws: Sequence[float]) -> float:
    finite = np.asarray([d for d in draws if math.isfinite(d)])
    return float(finite.var()) if len(finite) else 0.0


def _tail(level: float, parts: Sequence[tuple[int, float]]) -> float:
    """Return the share beyond either end of an expanded interval, from (levels, variance) pairs."""
    from scipy.stats import norm, t

    tail = (1 - level) / 2
    whole = sum(v for _, v in parts)
    if whole <= 0:
        return tail
    mended = [(size, v * size / (size - 1)) for size, v in parts]
    total = sum(v for _, v in mended)
    freedom = total**2 / sum(v**2 / (size - 1) for size, v in mended)
    return float(norm.cdf(-math.sqrt(total / whole) * t.ppf(1 - tail, freedom)))


def _interval(value: float, draws: Sequence[float], tail: float) -> Interval:
    finite = np.asarray([d for d in draws if np.isfinite(d)])
    if not len(finite):
        return Interval(value=value, low=float("nan"), high=float("nan"))
    low, high = np.quantile(finite, [tail, 1 - tail])
    return Interval(value=value, low=float(low), high=float(high))

"""Bootstrap intervals over identities: people, not frames, are what was sampled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gendkit.markup import card, number

Statistic = Callable[[NDArray[np.int64]], Mapping[str, float]]


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


def _interval(value: float, draws: Sequence[float], tail: float) -> Interval:
    finite = np.asarray([d for d in draws if np.isfinite(d)])
    if not len(finite):
        return Interval(value=value, low=float("nan"), high=float("nan"))
    low, high = np.quantile(finite, [tail, 1 - tail])
    return Interval(value=value, low=float(low), high=float(high))

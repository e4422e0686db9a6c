"""Bootstrap intervals over what was sampled: people and seeds, never frames.

`bootstrap` resamples one kind of group. `crossed` resamples several kinds that cross each other,
such as connected components of clips, training seeds and forgery families, and `estimates` does so
for arrays; `joint_components` gives the components of several data sets together.
"""

from __future__ import annotations

import itertools
import math
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gendkit.errors import InvalidArgument, UndefinedMetric
from gendkit.markup import card, number

if TYPE_CHECKING:
    import pandas as pd

    from gendkit.data.manifest import Manifest

Floats = NDArray[np.float64]
Statistic = Callable[[NDArray[np.int64]], Mapping[str, float]]
Counts = Mapping[str, NDArray[np.int64]]
"""How often each level of a factor counts (levels,), by the factor's name."""
COMPONENT = "component"
"""The factor whose levels are people, each with those who lend them a face."""
BOUND = ("value", "low", "high")
RESAMPLES = 1000
ALONE = 200
"""Resamples in which one factor alone varies, to see how much of the interval it makes."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """An estimate with its percentile interval.

    Attributes
    ----------
    value, low, high
        The estimate and the ends; NaN where it is not defined.
    parts
        Of `crossed`: by factor, which share of the variance is there when it alone is resampled.
    """

    value: float
    low: float
    high: float
    parts: Mapping[str, float] = field(default_factory=dict, compare=False, repr=False)

    def _repr_html_(self) -> str:
        made = ", ".join(f"{name} {share:.0%}" for name, share in self.parts.items())
        facts = {"value": number(self.value), "interval": self._ends}
        return card("Interval", facts | ({"made of": made} if made else {}))

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

    Returns
    -------
    dict
        By the names of the statistic; without ends if there is one group.

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
    for _ in range(resamples if len(members) > 1 else 0):  # of one group none differs
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
    own: Mapping[str, Mapping[str, int]] | None = None,
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
    the ends are then the lowest and highest mean that can be drawn, which is still too narrow. A
    number that no resample changes, such as the AUROC of scores that part the classes, has an
    interval without width, which says nothing.

    Parameters
    ----------
    statistic
        From the counts of each factor's levels, 1 for the estimate and 0 or more for a resample,
        to named numbers; NaN where undefined. To be scaled as a mean is: by the sum of the counts.
    sizes
        By the name of each factor, how many levels it has: ``{"component": 40, "seed": 5}``. One
        with a single level does not vary: the interval then says nothing about others.
    own
        By the names of the statistic, of how many levels of a factor a number is, where it is not
        of all of them, such as that of one data set of several. One of a single level has no ends.
    resamples, level, seed
        Number of resamples, coverage of the interval, seed of the draws. A factor's draws do not
        depend on which others there are.

    Returns
    -------
    dict
        By the names of the statistic; resamples in which a number is undefined are left out of it.
        Without ends if no factor has two levels.

    Raises
    ------
    InvalidArgument
        Without a factor, for one without a level, and for impossible numbers.

    Warns
    -----
    UndefinedMetric
        If no factor has two levels.

    References
    ----------
    Owen, The pigeonhole bootstrap, Annals of Applied Statistics 1, 2007 (crossed factors; where the
    factors interact much the interval is wider than needed; that none is exact is McCullagh's,
    Bernoulli 6, 2000). Hesterberg, What teachers should know about the bootstrap, The American
    Statistician 69, 2015 (expanded percentiles). Satterthwaite, Biometrics Bulletin 2, 1946.
    """
    _check(sizes, resamples=resamples, level=level)
    ones = {name: np.ones(size, dtype=np.int64) for name, size in sizes.items()}
    value = statistic(ones)
    varying = [name for name, size in sizes.items() if size > 1]
    if not varying:
        warnings.warn(
            f"there is one {', and one '.join(sizes)}: no interval can be estimated.",
            UndefinedMetric, stacklevel=2,
        )  # fmt: skip
        return {key: Interval(value=v, low=math.nan, high=math.nan) for key, v in value.items()}

    def drawn(names: Sequence[str], few: int) -> dict[str, list[float]]:
        draws = zip(*(_drawn(name, sizes[name], seed) for name in names), strict=True)
        some = ({**ones, **dict(zip(names, c, strict=True))} for c in itertools.islice(draws, few))
        return _evaluated(statistic, value, some)

    together = drawn(varying, resamples)
    alone = dict.fromkeys(varying, together)
    if len(varying) > 1:
        alone = {name: drawn([name], min(ALONE, resamples)) for name in varying}
    found = {}
    for key in value:
        parts = {name: _variance(alone[name][key]) for name in varying}
        fewer = (own or {}).get(key, {})
        of = {**sizes, **fewer}
        if any(size < 2 for size in fewer.values()):
            found[key] = Interval(value=value[key], low=math.nan, high=math.nan)
            continue
        tail = _tail(level, [(of[name], part) for name, part in parts.items()])
        whole = sum(parts.values())
        shares = {name: part / whole for name, part in parts.items()} if whole > 0 else {}
        found[key] = replace(_interval(value[key], together[key], tail), parts=shares)
    return found


def estimates(
    statistic: Callable[[Counts], Mapping[str, Floats]],
    sizes: Mapping[str, int],
    *,
    components: Mapping[str, ArrayLike] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Floats]:
    """Return arrays (..., bound) of a statistic that gives arrays (...) for counts.

    All that it gives is computed on the same resample: a difference in it has its own interval.

    Parameters
    ----------
    statistic, sizes, resamples, seed
        As for `crossed`, but for the arrays.
    components
        By the names of the statistic, of how many components each number is, where it is not of
        all of them; (...), or what is spread to it, as (F,) is to (..., F).
    """

    def numbers(counts: Counts) -> dict[str, float]:
        return {
            f"{name}/{place}": float(value)
            for name, values in statistic(counts).items()
            for place, value in enumerate(np.asarray(values).ravel())
        }

    shapes = {
        name: np.shape(values)
        for name, values in statistic({n: np.ones(k, np.int64) for n, k in sizes.items()}).items()
    }
    own = {
        f"{name}/{place}": {COMPONENT: int(number)}
        for name, counts in (components or {}).items()
        for place, number in enumerate(np.broadcast_to(counts, shapes[name]).flat)
    }
    found = crossed(numbers, sizes, own=own, resamples=resamples, seed=seed)
    made = {}
    for name, shape in shapes.items():
        places = [found[f"{name}/{place}"] for place in range(int(np.prod(shape)))]
        bounds = [(one.value, one.low, one.high) for one in places]
        made[name] = np.asarray(bounds, dtype=np.float64).reshape(*shape, len(BOUND))
    return made


def class_components(labels: NDArray[np.int64], components: NDArray[np.int64]) -> tuple[int, int]:
    """Return how many components have reals, and how many have fakes.

    Parameters
    ----------
    labels, components
        (N,) 0 real or 1 fake, and the connected component of each.
    """
    real, fake = (len(np.unique(components[labels == label])) for label in (0, 1))
    return real, fake


def rarer_components(labels: NDArray[np.int64], components: NDArray[np.int64]) -> int:
    """Return how many components the class has that has fewer; a class that is not there is none.

    Where there is but one real, or one fake, of it all, no resample shows how these vary.

    Parameters
    ----------
    labels, components
        As for `class_components`.
    """
    return min((n for n in class_components(labels, components) if n), default=0)


def components_of_mean(parts: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]]) -> int:
    """Return of how many components a mean over numbers is, of the class that has fewer.

    It is only defined in resamples in which all of them are. One of a single component is the same
    in all of these, so that the mean counts as of a single one, too.

    Parameters
    ----------
    parts
        Labels and components of what each number is of, as for `rarer_components`.
    """
    if not parts:
        return 0
    if any(rarer_components(*part) < 2 for part in parts):
        return 1
    labels, components = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return rarer_components(labels, components)


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
        If a data set stands in two groups, or is in no manifest; for a table without the columns.
    """
    import pandas as pd

    from gendkit.data.links import CLIP, LINKS, components

    columns = list(dict.fromkeys([*CLIP, *(name for names in LINKS.values() for name in names)]))
    tables = [m if isinstance(m, pd.DataFrame) else m.table for m in manifests]
    for table in tables:
        if missing := [name for name in columns if name not in table]:
            raise InvalidArgument(
                f"a table lacks {', '.join(missing)}, of which clips' links are made; give the "
                "manifest, or its table."
            )
    if not tables:
        return []
    parts = [table[columns] for table in tables]
    # An empty cell of a table that was read from CSV is NaN: no name, as an empty text is none.
    parts = [p.astype(object).where(p.notna(), "") if p.isna().any(axis=None) else p for p in parts]
    whole = pd.concat(parts, ignore_index=True)
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


def _drawn(name: str, size: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Yield, without end, how often each level (levels,) is drawn in a resample."""
    rng, share = np.random.default_rng([seed, zlib.crc32(name.encode())]), np.full(size, 1 / size)
    while True:
        yield rng.multinomial(size, share)


def _evaluated(
    statistic: Callable[[Counts], Mapping[str, float]],
    value: Mapping[str, float],
    resamples: Iterable[Counts],
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

"""From the scores of clips known to be real to a threshold that few real clips exceed.

The score itself knows none: how many fakes a detector was trained on is in it. There are two rules:

- `plain_threshold` describes the clips at hand: of these reals no more than a share exceeds it. A
  benchmark states that; `threshold_at` is its bare number, for any number of reals.
- `corrected_threshold` decides about a further file, and counts that one among the reals, so that
  it is as high or higher. It is corrected for the people in the file: each is one more chance to
  exceed it.

Either carries the bound of Clopper and Pearson, which the true rate exceeds as seldom as is stated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from gendkit.errors import InvalidArgument
from gendkit.markup import DASH, card, number

Called = Literal["fake", "not fake", "not examined", "not estimable"]
LEVEL = 0.95
"""How sure a bound on a rate is, unless another confidence is asked for."""


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """Above which score a file is called fake, and what that rests on.

    Attributes
    ----------
    value
        A score above it, not one that is equal, is called fake. None if it cannot be estimated.
    fpr
        The share of real files that may be called fake.
    people
        How many people of the file were examined.
    rate
        The share of single people that may be called fake, so that of files it is `fpr`.
    reals
        How many scores of real clips there were.
    reason
        Why there is no value; empty if there is one.
    bound
        The rate of single people who exceed the value is at most this, with the confidence `level`;
        see `fpr_bound`. None without a value.
    level
        How sure the bound is.
    """

    value: float | None
    fpr: float
    people: int
    rate: float
    reals: int
    reason: str = ""
    bound: float | None = None
    level: float = LEVEL

    def call(self, score: float | None) -> Called:
        """Say what a file of this score is called; `not fake` does not mean that it is real."""
        if score is None or math.isnan(score):
            return "not examined"
        if self.value is None:
            return "not estimable"
        return "fake" if score > self.value else "not fake"

    def _repr_html_(self) -> str:
        facts = {
            "called fake above": DASH if self.value is None else number(self.value),
            "not estimable": self.reason or None,
            "false positive rate": f"{self.fpr:g} a file, {self.rate:.3g} a person",
            "people": str(self.people),
            "real clips": str(self.reals),
            "the true rate is": None
            if self.bound is None
            else f"at most {self.bound:.3g} a person (one-sided {100 * self.level:g}%, "
            "Clopper-Pearson)",
        }
        return card("Threshold", facts)


def plain_threshold(
    reals: ArrayLike,
    *,
    fpr: float = 0.05,
    components: ArrayLike | None = None,
    level: float = LEVEL,
) -> Threshold:
    """Return the lowest of some real scores that at most a share of these scores exceeds.

    So it describes these clips; a further clip that is like them exceeds it with a probability of
    up to (k + 1) / (N + 1), k being the whole part of `fpr` N, which is more than `fpr`. To decide
    about a further file, `corrected_threshold` is the one.

    Parameters
    ----------
    reals
        (N,) scores of clips that are known to be real.
    fpr
        The share of them that may exceed the threshold, between 0 and 1.
    components
        (N,) connected component of each, such as the person: the bound then counts clips as
        `independent` does. None: each clip is a witness of its own.
    level
        How sure the bound is.

    Returns
    -------
    Threshold
        Without a value if there are fewer real clips than 1 / fpr: no share above 0 and up to
        `fpr` can then be seen.

    Raises
    ------
    InvalidArgument
        For scores that are no numbers (N,), and for a rate or a level that cannot be.
    """
    scores = _checked(reals)
    _check_share("fpr", fpr)
    allowed = allowed_above(len(scores), fpr)
    if not allowed:
        return Threshold(value=None, fpr=fpr, people=1, rate=fpr, reals=len(scores),
                         reason=f"not estimable ({len(scores)} real)", level=level)  # fmt: skip
    return Threshold(
        value=threshold_at(scores, fpr), fpr=fpr, people=1, rate=fpr, reals=len(scores),
        bound=share_bound(allowed, len(scores), components, level=level), level=level,
    )  # fmt: skip


def threshold_at(reals: ArrayLike, max_fpr: float) -> float:
    """Return the lowest of some real scores (N,) that at most a part `max_fpr` of them exceeds.

    The number of `plain_threshold`, for any number of reals: with fewer than 1 / max_fpr of them it
    is the highest, which none exceeds.

    Raises
    ------
    InvalidArgument
        For scores that are no numbers (N,), or without any, and for a part that is not in [0, 1).
    """
    scores = _checked(reals)
    if not len(scores):
        raise InvalidArgument("no threshold can be fixed without a score of a real clip.")
    if not 0 <= max_fpr < 1:
        raise InvalidArgument(f"max_fpr is {max_fpr!r}; expected 0 or more and less than 1.")
    return float(np.sort(scores)[::-1][allowed_above(len(scores), max_fpr)])


def fpr_bound(exceeding: float, reals: float, *, level: float = LEVEL) -> float:
    """Return what the true rate is at most, of which `exceeding` of so many reals are a sample.

    The one-sided bound of Clopper and Pearson. It is exact for a threshold that was fixed before;
    and as exact for the (k + 1)-th highest of N independent scores, of which k exceed it, although
    it was chosen among them: the rate above it has a beta distribution of k + 1 and N - k, whose
    quantile the bound is (Wilks). Scores that are equal only make it wider than needed.

    Parameters
    ----------
    exceeding, reals
        How many of how many. Clips of one person are no independent witnesses; see `share_bound`.
    level
        How sure the bound is.

    Returns
    -------
    float
        NaN without a real.

    References
    ----------
    Clopper and Pearson, The use of confidence or fiducial limits, Biometrika 26, 1934. Wilks,
    Determination of sample sizes for setting tolerance limits, Ann. Math. Statist. 12, 1941.
    """
    from scipy.stats import beta

    _check_share("level", level)
    if not 0 <= exceeding <= reals:
        raise InvalidArgument(f"{exceeding:g} of {reals:g} reals cannot exceed a threshold.")
    if not reals:
        return math.nan
    if exceeding == reals:
        return 1.0
    return float(beta.ppf(level, exceeding + 1, reals - exceeding))


def share_bound(
    exceeding: float, reals: int, components: ArrayLike | None = None, *, level: float = LEVEL
) -> float:
    """Return `fpr_bound` for the same share of as many reals as are independent of each other."""
    if components is None or not reals:
        return fpr_bound(exceeding, reals, level=level)
    groups = np.asarray(components)
    if groups.shape != (reals,):
        raise InvalidArgument(f"{groups.shape} components for {reals} reals; expected one a clip.")
    witnesses = independent(groups)
    return fpr_bound(exceeding / reals * witnesses, witnesses, level=level)


def independent(components: ArrayLike) -> float:
    """Return as how many independent clips those of some components (N,) count (Kish).

    All of one component count as one, and less where components are of uneven sizes.

    References
    ----------
    Kish, Survey Sampling, 1965 (effective sample size, were clips of a component all alike).
    """
    clips = np.unique(np.asarray(components), return_counts=True)[1].astype(np.float64)
    return float(clips.sum() ** 2 / (clips**2).sum()) if len(clips) else 0.0


def corrected_threshold(
    reals: ArrayLike, *, fpr: float = 0.05, people: int = 1, level: float = LEVEL
) -> Threshold:
    """Return the threshold that a share of real files exceeds in which some people were examined.

    A file's score is the highest of its people's. Of n people each may exceed the threshold with
    the rate 1 - (1 - fpr)^(1/n) (Sidak), so that one of them does with the rate `fpr`. A threshold
    for a rate r is the k-th highest of the N real scores, k being the whole part of r (N + 1): a
    further real clip that is like these exceeds it with a probability of k / (N + 1), at most r.

    Parameters
    ----------
    reals
        (N,) scores of clips that are known to be real, one a clip and of one person each, made in
        the same way as the score that is to be called. Clips that are easier than the file, such as
        those of the training, give too low a threshold.
    fpr
        Wanted share of real files that are called fake, between 0 and 1.
    people
        How many people of the file were examined.
    level
        How sure the bound is.

    Returns
    -------
    Threshold
        Without a value if there are fewer real clips than 1 / rate.

    Raises
    ------
    InvalidArgument
        For scores that are no numbers (N,), and for a rate or a number of people that cannot be.

    Notes
    -----
    The rates hold on average over what the real clips happen to be, and for people who are
    independent of each other. Those of one file share its encoding; where this makes their scores
    alike, the file's rate is lower than wanted.

    References
    ----------
    Sidak, Rectangular confidence regions for the means of multivariate normal distributions, JASA
    62, 1967. Bates, Candes, Lei, Romano and Sesia, Testing for outliers with conformal p-values,
    Annals of Statistics 51, 2023.
    """
    scores = _checked(reals)
    if isinstance(people, bool) or int(people) != people or people < 1:
        raise InvalidArgument(f"people is {people!r}; expected a whole number from 1.")
    _check_share("fpr", fpr)
    people, fpr = int(people), float(fpr)
    rate = fpr if people == 1 else -math.expm1(math.log1p(-fpr) / people)
    needed = math.ceil(1 / rate - 1e-9)
    if len(scores) < needed:
        reason = (
            f"{len(scores)} real clips cannot show a rate of {rate:.3g} a person; at least "
            f"{needed} are needed for {people} {'person' if people == 1 else 'people'} and a "
            f"false positive rate of {fpr:g}"
        )
        return Threshold(
            value=None, fpr=fpr, people=people, rate=rate, reals=len(scores), reason=reason,
            level=level,
        )  # fmt: skip
    above = math.floor(rate * (len(scores) + 1) + 1e-9)
    value = float(np.sort(scores)[-above])
    bound = fpr_bound(above - 1, len(scores), level=level)
    return Threshold(
        value=value, fpr=fpr, people=people, rate=rate, reals=len(scores), bound=bound, level=level
    )


def allowed_above(reals: int, share: float) -> int:
    """Return how many of some real clips may exceed a threshold of which a share may."""
    return int(share * reals + 1e-9)


def _check_share(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise InvalidArgument(
            f"{name} is {value!r}; expected a share between 0 and 1, such as 0.05."
        )


def _checked(reals: ArrayLike) -> np.ndarray:
    try:
        scores = np.asarray(reals, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidArgument(
            "the scores of real clips are no numbers; expected one a clip, (N,)."
        ) from None
    if scores.ndim != 1:
        raise InvalidArgument(f"scores of real clips are (N,), got the shape {scores.shape}.")
    if not np.isfinite(scores).all():
        raise InvalidArgument(
            "a score of a real clip is not finite; leave clips out that were not examined."
        )
    return scores

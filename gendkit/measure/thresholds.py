"""From the scores of clips known to be real to a threshold that few real clips exceed.

The score itself knows none: how many fakes a detector was trained on is in it. A file in which n
people were examined has n chances to exceed a threshold, so that it needs a higher one.
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
    """

    value: float | None
    fpr: float
    people: int
    rate: float
    reals: int
    reason: str = ""

    def call(self, score: float | None) -> Called:
        """Say what a file of this score is called; `not fake` does not mean that it is real."""
        if score is None:
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
        }
        return card("Threshold", facts)


def corrected_threshold(reals: ArrayLike, *, fpr: float = 0.05, people: int = 1) -> Threshold:
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
    if not 0 < fpr < 1:
        raise InvalidArgument(f"fpr is {fpr!r}; expected a share between 0 and 1, such as 0.05.")
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
            value=None, fpr=fpr, people=people, rate=rate, reals=len(scores), reason=reason
        )
    above = math.floor(rate * (len(scores) + 1) + 1e-9)
    value = float(np.sort(scores)[-above])
    return Threshold(value=value, fpr=fpr, people=people, rate=rate, reals=len(scores))


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

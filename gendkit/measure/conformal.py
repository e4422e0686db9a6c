"""A decision by which few reals are called fake, and few fakes real; of the rest nothing is said.

One score a clip enters, `real`, `fake` or `cannot tell` leaves. The rates hold for clips that are
exchangeable with those it rests on, such as further people of the same data set, and for no others.

The p-value is one line of numpy. `crepes` gives the same one (`class_cond=True, smoothing=False`)
and would be a dependency more for it; `mapie` has prediction sets of one level, not of one a class.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import ConfigDict

from gendkit.errors import InvalidArgument
from gendkit.measure.calibration import STRICT, two_classes
from gendkit.measure.labels import checked_labels
from gendkit.measure.likelihood import grouped

REAL, FAKE, CANNOT_TELL = "real", "fake", "cannot tell"
_ROUND = 1 + 1e-9
"""A p-value of exactly the level may come out a last bit above it."""


@dataclass(frozen=True, kw_only=True)
class Conformal:
    """What scores are usual of reals and of fakes, and how rare is rare.

    Attributes
    ----------
    reals, fakes
        Scores of calibration clips of either class, rising; one clip a group.
    alpha
        The most of further reals that may be called fake.
    beta
        The most of further fakes that may be called real.
    """

    reals: tuple[float, ...]
    fakes: tuple[float, ...]
    alpha: float = 0.05
    beta: float = 0.05
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    @property
    def limits(self) -> tuple[str, ...]:
        """What can never be called for want of clips; empty if both can."""
        return self.limits_of()

    def limits_of(self, people: int = 1) -> tuple[str, ...]:
        """Return the same where so many people of a file are examined; see `decide`."""
        found = []
        for name, other, clips, level in (
            (FAKE, "real", self.reals, self._alpha(people)), (REAL, "fake", self.fakes, self.beta),
        ):  # fmt: skip
            if 1 / (len(clips) + 1) > level * _ROUND:
                found.append(
                    f"nothing can be called {name}: a rate of {level:.3g} takes "
                    f"{math.ceil(1 / level - 1e-9) - 1} independent {other} clips, there are "
                    f"{len(clips)}"
                )
        return tuple(found)

    def p_real(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Return p-values (N,) of being real: the share of reals that score at least as high."""
        s = np.asarray(scores, np.float64)
        higher = len(self.reals) - np.searchsorted(self.reals, s, side="left")
        return _where_known(s, (1 + higher) / (len(self.reals) + 1))

    def p_fake(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Return p-values (N,) of being fake: the share of fakes that score at most as high."""
        s = np.asarray(scores, np.float64)
        lower = np.searchsorted(self.fakes, s, side="right")
        return _where_known(s, (1 + lower) / (len(self.fakes) + 1))

    def decide(self, scores: ArrayLike, *, people: int = 1) -> NDArray[np.str_]:
        """Return what clips of these scores (N,) are called.

        Fake is what is rare of reals and not of fakes; real the reverse. What is rare of both, or
        of neither, is `cannot tell`, as is a score that is NaN.

        Parameters
        ----------
        people
            How many people of the file were examined: each has a lower rate of being called fake,
            1 - (1 - alpha)^(1/n) (Sidak), so that the file's is alpha.

        Raises
        ------
        InvalidArgument
            If no person was examined.
        """
        if people < 1:
            raise InvalidArgument(f"people is {people}; expected a whole number from 1.")
        not_real = self.p_real(scores) <= self._alpha(people) * _ROUND
        not_fake = self.p_fake(scores) <= self.beta * _ROUND
        said = np.where(not_real & ~not_fake, FAKE, np.where(not_fake & ~not_real, REAL, ""))
        return np.where(said == "", CANNOT_TELL, said)

    def _alpha(self, people: int) -> float:
        return self.alpha if people == 1 else -math.expm1(math.log1p(-self.alpha) / people)


def fit_conformal(
    labels: ArrayLike,
    scores: ArrayLike,
    components: ArrayLike | None = None,
    *,
    alpha: float = 0.05,
    beta: float = 0.05,
    seed: int = 0,
) -> Conformal:
    """Keep one clip of each class of each group of clips that hang together.

    Clips of one person are not exchangeable with those of another; people are. With one clip drawn
    of each, P(called fake | real) <= alpha and P(called real | fake) <= beta hold exactly for a
    clip of a further person, on average over the calibration clips.

    Parameters
    ----------
    labels, scores
        (N,) of clips.
    components
        (N,) which clips hang together; by default none do.
    alpha, beta
        Wanted rates, between 0 and 1.
    seed
        Of the draws.

    Raises
    ------
    InvalidLabels
        As `two_classes`.
    InvalidArgument
        For a rate that is no share.

    References
    ----------
    Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005 (one p-value a class);
    Dunn, Wasserman and Ramdas, Distribution-Free Prediction Sets for Two-Layer Hierarchical Models,
    JASA 118, 2023 (one draw a group).
    """
    for name, rate in (("alpha", alpha), ("beta", beta)):
        if not 0 < rate < 1:
            raise InvalidArgument(f"{name} is {rate!r}; expected a share between 0 and 1.")
    y, s = two_classes(labels, scores)
    rows = one_each(y, grouped(components, len(y)), seed=seed)
    real, fake = (tuple(np.sort(s[rows[y[rows] == label]]).tolist()) for label in (0, 1))
    return Conformal(reals=real, fakes=fake, alpha=float(alpha), beta=float(beta))


def _where_known(scores: NDArray[np.float64], p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return p-values (N,), NaN where there is no score: it would sort above all others."""
    return np.where(np.isnan(scores), np.nan, p)


def one_each(
    labels: NDArray[np.int64], groups: NDArray[np.int64], *, seed: int = 0
) -> NDArray[np.int64]:
    """Return the rows of one clip drawn of each class of each group, rising."""
    drawn = np.random.default_rng(seed).permutation(len(labels))
    both = np.stack([groups[drawn], labels[drawn]])
    _, first = np.unique(both, axis=1, return_index=True)
    return np.asarray(np.sort(drawn[first]), np.int64)


def decision_rates(labels: ArrayLike, decisions: ArrayLike) -> Mapping[str, float]:
    """Return how often reals are called fake, fakes real, and either nothing; NaN without clips.

    Keys: `fake_of_real`, `real_of_fake`, `cannot_tell_of_real`, `cannot_tell_of_fake`.
    """
    y, said = checked_labels(labels), np.asarray(decisions)

    def rate(label: int, what: str) -> float:
        own = said[y == label]
        return float((own == what).mean()) if len(own) else float("nan")

    return {
        "fake_of_real": rate(0, FAKE),
        "real_of_fake": rate(1, REAL),
        "cannot_tell_of_real": rate(0, CANNOT_TELL),
        "cannot_tell_of_fake": rate(1, CANNOT_TELL),
    }

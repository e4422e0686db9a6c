"""Conformal decisions: few reals are called fake, and few fakes real, if they are exchangeable."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import expit

from gendkit.errors import InvalidArgument, InvalidLabels
from gendkit.measure.conformal import Conformal, decision_rates, fit_conformal, one_each


def _rates(
    *,
    apart: float,
    alpha: float,
    beta: float,
    count: int,
    draws: int,
    group: int = 1,
    shift: float = 0.0,
    naive: bool = False,
) -> tuple[float, float]:
    """Return how often a further real is called fake, and a further fake real, over many sets.

    `group` clips each hang together: they share most of their score.
    """
    rng = np.random.default_rng(0)
    wrong = np.zeros(2)
    y = np.repeat([0, 1], count * group)
    components = np.concatenate([np.repeat(np.arange(count), group)] * 2)
    for draw in range(draws):
        own = np.concatenate([np.repeat(rng.normal(0, 1, count), group) for _ in (0, 1)])
        x = own + rng.normal(0, 0.1, len(own)) + apart * (2 * y - 1)
        known = None if naive else components
        found = fit_conformal(y, expit(x), known, alpha=alpha, beta=beta, seed=draw)
        new = rng.normal(0, 1, 2) + rng.normal(0, 0.1, 2) + [-apart + shift, apart]
        said = found.decide(expit(new))
        wrong += [said[0] == "fake", said[1] == "real"]
    return tuple((wrong / draws).tolist())


def _most(rate: float, draws: int) -> float:
    return rate + 3 * np.sqrt(rate * (1 - rate) / draws)


@pytest.mark.parametrize(
    ("apart", "alpha", "beta"), [(0.3, 0.05, 0.2), (1.0, 0.1, 0.02), (0.0, 0.1, 0.1)]
)
def test_errors_are_as_rare_as_wanted_on_exchangeable_clips(
    apart: float, alpha: float, beta: float
) -> None:
    fake, real = _rates(apart=apart, alpha=alpha, beta=beta, count=60, draws=2000)
    assert fake <= _most(alpha, 2000)
    assert real <= _most(beta, 2000)
    if apart and alpha > 0.05:
        assert fake >= alpha / 3, "far fewer are called than could be"


def test_clips_of_one_person_count_as_one() -> None:
    """Twelve people of twenty clips each: they, and not the 240 clips, say what is rare."""
    wanted: dict[str, Any] = {"apart": 0.5, "alpha": 0.05, "beta": 0.1, "count": 12}
    fake, real = _rates(**wanted, draws=2000, group=20)
    assert fake == 0, "twelve people cannot show that one in twenty is rare"
    assert 0 < real <= _most(0.1, 2000)
    fake, _ = _rates(**wanted, draws=2000, group=20, naive=True)
    assert fake > _most(0.05, 2000)


def test_on_a_shifted_set_nothing_is_promised() -> None:
    fake, _ = _rates(apart=1.0, alpha=0.05, beta=0.05, count=60, draws=500, shift=2.0)
    assert fake > 0.3


def test_decisions_are_counted_by_hand() -> None:
    reals, fakes = tuple(np.arange(1, 20) / 100), tuple(np.arange(15, 34) / 100)
    found = Conformal(reals=reals, fakes=fakes)  # 19 of each: the least p-value is .05
    assert found.limits == ()
    assert found.p_real([0.19, 0.191]).tolist() == [0.1, 0.05]
    assert found.p_fake([0.15, 0.149]).tolist() == [0.1, 0.05]
    said = found.decide([0.0, 0.149, 0.15, 0.17, 0.19, 0.191, 1.0])
    assert said.tolist() == ["real"] * 2 + ["cannot tell"] * 3 + ["fake"] * 2
    apart = Conformal(reals=tuple(np.arange(19) / 100), fakes=tuple(0.8 + np.arange(19) / 100))
    assert apart.decide([0.1, 0.5, 0.9]).tolist() == ["real", "cannot tell", "fake"]


def test_of_a_file_with_several_people_each_is_called_fake_less_often() -> None:
    found = Conformal(reals=tuple(np.arange(1, 40) / 100), fakes=(0.3,) * 39, alpha=0.05)
    assert found.decide([0.391]).tolist() == ["fake"]
    assert found.decide([0.391], people=2).tolist() == ["fake"]  # 1 / 40 is still rare enough
    assert found.decide([0.391], people=3).tolist() == ["cannot tell"]


def test_too_few_clips_can_never_be_called_and_say_so() -> None:
    found = Conformal(reals=(0.1,) * 18, fakes=(0.9,) * 9, alpha=0.05, beta=0.1)
    assert found.limits == (
        "nothing can be called fake: a rate of 0.05 takes 19 independent real clips, there are 18",
    )
    assert found.decide([1.0]).tolist() == ["cannot tell"]
    assert found.decide([0.0]).tolist() == ["real"]
    assert len(Conformal(reals=(), fakes=()).limits) == 2


P_VALUES = [  # of real and of fake at five scores, by crepes 0.9.1 (class_cond, no smoothing)
    (1.0, 0.07142857),
    (0.83333333, 0.21428571),
    (0.66666667, 0.42857143),
    (0.5, 0.57142857),
    (0.05555556, 0.71428571),
]


def test_p_values_are_those_of_crepes() -> None:
    rng = np.random.default_rng(5)
    for reals, fakes in ((12, 12), (40, 40), (40, 160), (300, 300), (30, 30), (60, 60), (25, 25),
                         (200, 80)):  # fmt: skip
        rng.normal(size=reals + fakes)  # the draws of the bounds' test, which come before
    scores, y = rng.random(30), (rng.random(30) < 0.5).astype(int)
    found = fit_conformal(y, scores)
    at = [0.05, 0.3, 0.5, 0.7, 0.95]
    np.testing.assert_allclose(np.c_[found.p_real(at), found.p_fake(at)], P_VALUES, atol=1e-8)


def test_one_clip_is_drawn_of_each_class_of_a_group() -> None:
    y, groups = np.array([0, 0, 0, 1, 1, 0]), np.array([1, 1, 1, 1, 1, 2])
    seen = set()
    for seed in range(40):
        rows = one_each(y, groups, seed=seed)
        assert sorted(zip(groups[rows], y[rows], strict=True)) == [(1, 0), (1, 1), (2, 0)]
        seen |= set(rows.tolist())
    assert seen == set(range(6))


def test_rates_are_of_their_class() -> None:
    said = ["fake", "cannot tell", "real", "real", "fake"]
    rates = decision_rates([0, 0, 1, 1, 1], said)
    assert rates["fake_of_real"] == 0.5
    assert rates["cannot_tell_of_real"] == 0.5
    assert rates["real_of_fake"] == pytest.approx(2 / 3)
    assert rates["cannot_tell_of_fake"] == 0
    assert np.isnan(decision_rates([0], ["fake"])["real_of_fake"])


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, float("nan")])
def test_a_rate_is_a_share(rate: float) -> None:
    with pytest.raises(InvalidArgument, match="between 0 and 1"):
        fit_conformal([0, 1], [0.1, 0.9], alpha=rate)
    with pytest.raises(InvalidArgument, match="beta"):
        fit_conformal([0, 1], [0.1, 0.9], beta=rate)
    with pytest.raises(InvalidLabels, match="of one class"):
        fit_conformal([0, 0], [0.1, 0.9])


def test_what_can_never_be_called_depends_on_how_many_people_are_examined() -> None:
    found = Conformal(reals=(0.1,) * 30, fakes=(0.9,) * 30)
    assert found.limits == found.limits_of(1) == ()
    assert found.decide([1.0]).tolist() == ["fake"]
    (limit,) = found.limits_of(3)
    assert limit.startswith("nothing can be called fake: a rate of 0.017 takes 58 independent real")
    assert found.decide([1.0], people=3).tolist() == ["cannot tell"]


def test_a_score_that_is_no_number_is_not_called() -> None:
    found = Conformal(reals=(0.1,) * 30, fakes=(0.9,) * 30)
    assert np.isnan([found.p_real([np.nan]), found.p_fake([np.nan])]).all()
    assert found.decide([np.nan, 1.0]).tolist() == ["cannot tell", "fake"]

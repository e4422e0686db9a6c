"""Thresholds: few real files are above them, however many people are in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

import gendkit as gk
from gendkit.errors import InvalidArgument
from gendkit.measure.thresholds import (
    Threshold,
    corrected_threshold,
    fpr_bound,
    independent,
    plain_threshold,
    share_bound,
    threshold_at,
)


def test_the_rate_of_each_person_is_that_of_sidak() -> None:
    reals = np.linspace(0, 1, 5000)
    for people in (1, 2, 7):
        found = corrected_threshold(reals, fpr=0.05, people=people)
        assert 1 - (1 - found.rate) ** people == pytest.approx(0.05, abs=1e-12)
        assert (found.people, found.fpr, found.reals) == (people, 0.05, 5000)


def test_the_threshold_is_a_score_that_few_enough_reals_exceed() -> None:
    """Of 99 reals and a further one, each of the hundred is as likely to be among the highest 5."""
    reals = np.random.default_rng(0).permutation(np.arange(1, 100) / 100)
    found = corrected_threshold(reals, fpr=0.05)
    assert found.value == 0.95
    assert found.call(0.95) == "not fake"
    assert found.call(0.951) == "fake"
    assert found.call(None) == found.call(float("nan")) == "not examined"
    assert corrected_threshold(reals, fpr=0.05, people=2).value == 0.98


def test_one_over_the_rate_is_how_many_reals_it_needs() -> None:
    assert corrected_threshold(np.zeros(20), fpr=0.05).value == 0
    few = corrected_threshold(np.zeros(19), fpr=0.05)
    assert few.value is None
    assert few.call(0.9) == "not estimable"
    assert few.call(None) == "not examined"
    assert few.reason == (
        "19 real clips cannot show a rate of 0.05 a person; at least 20 are needed for 1 person "
        "and a false positive rate of 0.05"
    )
    none = corrected_threshold([], fpr=0.5, people=2)
    assert none.value is None
    assert "0 real clips" in none.reason
    assert "at least 4 are needed for 2 people" in none.reason
    for people in range(1, 40):
        needed = int(np.ceil(1 / corrected_threshold([], people=people).rate - 1e-9))
        assert corrected_threshold(np.zeros(needed), people=people).value == 0
        assert corrected_threshold(np.zeros(needed - 1), people=people).value is None


@pytest.mark.parametrize("people", [1, 3])
@pytest.mark.parametrize("count", [60, 200])
def test_real_files_are_called_fake_at_most_as_often_as_wanted(people: int, count: int) -> None:
    """Over many draws of the real clips and of a file; without the correction it is more."""
    rng = np.random.default_rng(people)
    called = naive = 0
    draws = 4000
    for _ in range(draws):
        reals, file = rng.random(count), rng.random(people).max()
        called += corrected_threshold(reals, fpr=0.1, people=people).call(file) == "fake"
        naive += corrected_threshold(reals, fpr=0.1).call(file) == "fake"
    assert called / draws <= 0.1 + 3 * np.sqrt(0.1 * 0.9 / draws)
    assert called / draws >= 0.04
    assert (naive / draws > 0.2) == (people == 3)


def test_the_plain_threshold_describes_the_reals_at_hand() -> None:
    reals = np.random.default_rng(1).permutation(np.arange(1, 101) / 100)
    found = plain_threshold(reals, fpr=0.05)
    assert found.value == threshold_at(reals, 0.05) == 0.95
    assert (reals > found.value).mean() == 0.05
    assert (found.people, found.rate, found.reals) == (1, 0.05, 100)
    assert found.bound == fpr_bound(5, 100)
    assert "(one-sided 95%, Clopper-Pearson)" in found._repr_html_()


@pytest.mark.parametrize(("reals", "fpr"), [(40, 0.1), (99, 0.05), (137, 0.05), (1000, 0.001)])
def test_the_threshold_for_a_further_file_is_as_high_or_higher(reals: int, fpr: float) -> None:
    scores = np.random.default_rng(2).random(reals)
    plain, further = plain_threshold(scores, fpr=fpr), corrected_threshold(scores, fpr=fpr)
    assert further.value is not None
    assert plain.value is not None
    assert further.value >= plain.value
    assert corrected_threshold(scores, fpr=fpr, people=1).bound == fpr_bound(
        (scores > further.value).sum(), reals
    )


def test_a_rate_of_less_than_one_real_is_not_estimable() -> None:
    found = plain_threshold(np.zeros(19), fpr=0.05)
    assert (found.value, found.bound) == (None, None)
    assert found.reason == "not estimable (19 real)"
    assert found.call(0.9) == "not estimable"
    assert plain_threshold(np.zeros(20), fpr=0.05).value == 0
    assert threshold_at([0.1, 0.3, 0.2], 0.05) == 0.3  # the bare number is the highest then


def test_the_bound_is_where_so_few_reals_would_be_seen_as_seldom_as_is_said() -> None:
    for exceeding, reals in ((0, 20), (5, 100), (7, 144)):
        bound = fpr_bound(exceeding, reals, level=0.95)
        assert binom.cdf(exceeding, reals, bound) == pytest.approx(0.05, abs=1e-9)
    assert fpr_bound(0, 20) == pytest.approx(1 - 0.05 ** (1 / 20))
    assert fpr_bound(3, 3) == 1
    assert np.isnan(fpr_bound(0, 0))


def test_clips_of_one_person_count_as_one_in_the_bound() -> None:
    reals = np.repeat(np.random.default_rng(4).random(40), 5)
    people = np.repeat(np.arange(40), 5)
    assert independent(people) == 40
    assert independent([1, 1, 1, 2]) == pytest.approx(16 / 10)
    assert independent([]) == 0
    found = plain_threshold(reals, fpr=0.05, components=people)
    assert found.value == plain_threshold(reals, fpr=0.05).value
    assert found.bound == pytest.approx(fpr_bound(2, 40))
    assert share_bound(2, 6) == fpr_bound(2, 6)
    with pytest.raises(InvalidArgument, match=r"\(3,\) components for 200 reals"):
        plain_threshold(reals, components=[1, 2, 3])


def test_the_bound_holds_for_a_threshold_that_was_chosen_among_its_own_reals() -> None:
    """The scores are uniform, so that the true rate above a threshold is 1 - threshold."""
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(2000):
        found = plain_threshold(rng.random(60), fpr=0.05, level=0.9)
        assert found.value is not None
        assert found.bound is not None
        held += 1 - found.value <= found.bound
    assert held / 2000 == pytest.approx(0.9, abs=0.02)


def test_scores_that_are_equal_are_not_above() -> None:
    tied = [0.5] * 50
    assert corrected_threshold(tied).call(0.5) == "not fake"


@pytest.mark.parametrize(
    ("reals", "options", "told"),
    [
        ([0.1, float("nan")], {}, "not finite; leave clips out that were not examined"),
        ([0.1, float("inf")], {}, "not finite"),
        ([0.1, None], {}, "not finite"),
        (["high", "low"], {}, "are no numbers"),
        ([[0.1, 0.2]], {}, r"got the shape \(1, 2\)"),
        (0.5, {}, r"got the shape \(\)"),
        ([0.1], {"fpr": 0.0}, "fpr is 0.0; expected a share between 0 and 1"),
        ([0.1], {"fpr": 1.0}, "fpr is 1.0"),
        ([0.1], {"fpr": -0.1}, "fpr is -0.1"),
        ([0.1], {"fpr": float("nan")}, "fpr is nan"),
        ([0.1], {"people": 0}, "people is 0; expected a whole number from 1"),
        ([0.1], {"people": 1.5}, "people is 1.5"),
        ([0.1], {"people": True}, "people is True"),
    ],
)
def test_nonsense_is_refused(reals: Any, options: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidArgument, match=told):
        corrected_threshold(reals, **options)


def test_it_is_public_and_shows_itself() -> None:
    assert gk.corrected_threshold is corrected_threshold
    shown = corrected_threshold(np.linspace(0, 1, 200), people=2)._repr_html_()
    assert "called fake above" in shown
    assert "0.05 a file, 0.0253 a person" in shown
    lacking = Threshold(value=None, fpr=0.1, people=1, rate=0.1, reals=3, reason="<few>")
    assert "&lt;few&gt;" in lacking._repr_html_()


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: threshold_at([], 0.05), "without a score of a real clip"),
        (lambda: threshold_at([0.1], 1.0), "max_fpr is 1.0; expected 0 or more"),
        (lambda: threshold_at([0.1], -0.1), "max_fpr is -0.1"),
        (lambda: threshold_at([np.nan], 0.05), "not finite"),
        (lambda: plain_threshold([0.1], fpr=0.0), "fpr is 0.0"),
        (lambda: plain_threshold([0.1] * 30, level=95), "level is 95"),
        (lambda: fpr_bound(3, 2), "3 of 2 reals"),
        (lambda: fpr_bound(-1, 2), "-1 of 2 reals"),
    ],
)
def test_thresholds_that_cannot_be_are_refused(call: Callable[[], object], told: str) -> None:
    with pytest.raises(InvalidArgument, match=told):
        call()

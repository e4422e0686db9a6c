"""Likelihood ratios: true where the truth is known, never beyond what the clips support."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.special import expit

from gendkit.errors import InvalidLabels
from gendkit.measure.likelihood import (
    LEAST,
    NO_SUPPORT,
    LikelihoodRatio,
    cllr,
    cllr_min,
    cross_fitted,
    elub,
    fit_likelihood,
    fold_masks,
    shared_weights,
    support,
    tippett,
)

Drawn = tuple[np.ndarray, np.ndarray]


def gaussians(reals: int, fakes: int, *, apart: float = 1.0, seed: int = 0) -> Drawn:
    """Draw logits around -apart and apart, of spread 1: their natural log LR is 2 apart x."""
    rng = np.random.default_rng(seed)
    x = np.concatenate([rng.normal(-apart, 1, reals), rng.normal(apart, 1, fakes)])
    return np.repeat([0, 1], [reals, fakes]), x


def true_llr(x: np.ndarray, apart: float = 1.0) -> np.ndarray:
    return np.asarray(2 * apart * x / math.log(10))


@pytest.mark.parametrize("fakes", [3000, 600])
def test_of_two_gaussians_the_ratio_is_the_true_one_whatever_the_share_of_fakes(fakes: int) -> None:
    y, x = gaussians(3000, fakes)
    found = fit_likelihood(y, expit(x))
    at = np.linspace(-2, 2, 9)
    np.testing.assert_allclose(found.line(expit(at)), true_llr(at), atol=0.15)
    assert (found.reals, found.fakes) == (3000, fakes)
    np.testing.assert_allclose(found(expit(at[2:7])), found.line(expit(at[2:7])))


def test_a_scaled_and_shifted_score_gives_the_same_ratio() -> None:
    y, x = gaussians(400, 400)
    one, other = fit_likelihood(y, expit(x)), fit_likelihood(y, expit(3 * x / 2 + 1))
    np.testing.assert_allclose(one(expit(x)), other(expit(3 * x / 2 + 1)), atol=2e-3)


@pytest.mark.parametrize("count", [10, 20, 50, 200])
def test_no_ratio_is_beyond_what_so_many_clips_support(count: int) -> None:
    """Even of classes that do not overlap at all, and of a score that was never seen."""
    y = np.repeat([0, 1], count)
    s = np.concatenate([np.linspace(0, 0.1, count), np.linspace(0.9, 1, count)])
    found = fit_likelihood(y, s)
    assert 0 < found.high <= math.log10(count + 1)
    assert 0 > found.low >= -math.log10(count + 1)
    ratio = found([0.0, 1.0])
    assert ratio[0] == found.low
    assert ratio[1] == found.high
    assert found.at_bound([0.0, 0.5, 1.0]).tolist() == [True, False, True]


def test_many_clips_of_few_people_support_no_more_than_the_people() -> None:
    y, x = gaussians(12, 12, apart=2.5)
    many = fit_likelihood(np.repeat(y, 50), expit(np.repeat(x, 50)), np.repeat(np.arange(24), 50))
    once = fit_likelihood(y, expit(x))
    assert (many.reals, many.fakes) == (12, 12)
    assert many.high <= math.log10(13)
    assert many.slope == pytest.approx(once.slope, rel=1e-3)
    as_if = fit_likelihood(np.repeat(y, 50), expit(np.repeat(x, 50)))
    assert as_if.high > many.high


def test_fewer_clips_draw_the_ratio_towards_one() -> None:
    y = np.repeat([0, 1], 10)
    s = np.repeat([0.2, 0.8], 10)
    few = fit_likelihood(y, s)
    assert few.line([0.8])[0] == pytest.approx(math.log10(10), abs=1e-3)  # 10 right, 1 wrong
    many = fit_likelihood(np.repeat(y, 10), np.repeat(s, 10))
    assert many.line([0.8])[0] == pytest.approx(math.log10(100), abs=1e-3)


@pytest.mark.parametrize("scores", [[0.9, 0.1], [0.5, 0.5]])
def test_a_score_that_does_not_rise_with_fakes_says_nothing(scores: list[float]) -> None:
    found = fit_likelihood(np.repeat([0, 1], 30), np.repeat(scores, 30))
    assert (found.slope, found.low, found.high) == (0, 0, 0)
    assert found([0, 0.3, 1]).tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("labels", "scores", "told"),
    [
        ([0] * 9 + [1] * 30, [0.5] * 39, r"not estimable \(9 independent groups of real"),
        ([0] * 30, [0.5] * 30, "all 30 clips are of one class"),
        ([0, 1], [0.5, 1.5], "no number from 0 to 1"),
        ([0, 1], [0.5, float("nan")], "not a finite number"),
        ([0, 2], [0.5, 0.5], "must be 0"),
        ([0, 1], [0.5], "both must be"),
        ([], [], "all 0 clips"),
    ],
)
def test_what_cannot_be_estimated_is_refused(
    labels: list[int], scores: list[float], told: str
) -> None:
    with pytest.raises(InvalidLabels, match=told):
        fit_likelihood(labels, scores)


def test_clips_of_too_few_people_are_not_enough() -> None:
    y, x = gaussians(40, 40)
    with pytest.raises(InvalidLabels, match=f"at least {LEAST}"):
        fit_likelihood(y, expit(x), np.arange(80) % 9)
    with pytest.raises(InvalidLabels, match=r"\(3,\) components for 80 clips"):
        fit_likelihood(y, expit(x), [1, 2, 3])


def test_each_fold_is_fitted_without_its_groups_and_has_both_classes() -> None:
    y, x = gaussians(30, 30)
    groups = np.tile(np.arange(20), 3)
    parts = fold_masks(y, groups)
    assert np.sum(parts, axis=0).tolist() == [1] * 60
    for part in parts:
        assert not set(groups[part]) & set(groups[~part])
        assert set(y[~part]) == {0, 1}
    assert len(fold_masks(y, np.zeros(60, np.int64))) == 1
    apart = np.concatenate([np.zeros(10, np.int64), np.ones(10, np.int64)])
    assert all(set(apart[part]) == {0, 1} for part in fold_masks(apart, np.arange(20)))
    llr = cross_fitted(y, expit(x), groups)
    assert np.corrcoef(llr, x)[0, 1] > 0.9


def test_weights_of_a_group_and_class_sum_to_one() -> None:
    y, groups = np.array([0, 0, 1, 1, 1, 0]), np.array([5, 5, 5, 5, 7, 7])
    assert shared_weights(y, groups).tolist() == [0.5, 0.5, 0.5, 0.5, 1, 1]


ELUB = [
    # reals, fakes, apart, scale, and what lir 1.3.1 (Netherlands Forensic Institute) has as elub
    (12, 12, 1.0, 1.0, -0.60, 0.44),
    (40, 40, 1.0, 1.0, -1.17, 0.84),
    (40, 160, 2.0, 2.0, -2.13, 1.58),
    (300, 300, 1.5, 1.0, -2.12, 2.15),
    (30, 30, 0.0, 1.0, 0.0, 0.0),
    (60, 60, 3.0, 3.0, -1.77, 1.77),
    (25, 25, -1.0, 1.0, -0.66, 0.63),
    (200, 80, 0.5, 4.0, -0.45, 0.38),
]


def test_the_bounds_are_those_of_the_netherlands_forensic_institute() -> None:
    rng = np.random.default_rng(5)
    for reals, fakes, apart, scale, low, high in ELUB:
        x = np.concatenate([rng.normal(-apart, 1, reals), rng.normal(apart, 1, fakes)])
        y = np.repeat([0, 1], [reals, fakes])
        assert elub(y, scale * true_llr(x, apart)) == pytest.approx((low, high), abs=1e-9)


def test_bounds_of_clips_that_count_less_are_those_of_fewer_clips() -> None:
    y, x = gaussians(50, 50)
    many = np.repeat(y, 4), np.repeat(true_llr(x), 4)
    assert elub(*many, np.full(400, 0.25)) == pytest.approx(elub(y, true_llr(x)), abs=1e-9)
    assert elub(*many)[1] > elub(y, true_llr(x))[1]


def test_cllr_is_what_its_formula_says() -> None:
    y, x = gaussians(50, 70)
    llr = true_llr(x)
    of_real = [math.log2(1 + 10**v) for v, label in zip(llr, y, strict=True) if label == 0]
    of_fake = [math.log2(1 + 10**-v) for v, label in zip(llr, y, strict=True) if label == 1]
    expected = (sum(of_real) / 50 + sum(of_fake) / 70) / 2
    assert cllr(y, llr) == pytest.approx(expected, abs=1e-12)
    assert cllr(y, np.zeros(120)) == pytest.approx(1)
    assert cllr([0, 1], [-400, 400]) == pytest.approx(0)
    assert cllr([0, 1], [np.inf, 0]) == np.inf
    assert math.isnan(cllr([1, 1], [0, 0]))
    assert math.isnan(cllr_min([0, 0], [0, 0]))


@pytest.mark.parametrize("scale", [-1.0, 0.0, 0.3, 1.0, 5.0])
def test_the_least_cllr_is_no_more_and_knows_only_the_order(scale: float) -> None:
    y, x = gaussians(60, 140)
    llr = scale * true_llr(x)
    assert cllr_min(y, llr) <= cllr(y, llr) + 1e-12
    if scale > 0:
        assert cllr_min(y, llr) == pytest.approx(cllr_min(y, np.arctan(x)), abs=1e-12)
    assert cllr_min([0, 0, 1, 1], [-2, -1, 1, 2]) == 0
    assert cllr_min([0, 1, 0, 1], [0, 0, 1, 1]) == pytest.approx(1)


def test_true_ratios_cost_little_more_than_the_least() -> None:
    y, x = gaussians(4000, 4000)
    found = fit_likelihood(y, expit(x))
    assert cllr(y, found(expit(x))) - cllr_min(y, found(expit(x))) < 0.02


def test_tippett_shares_are_counted() -> None:
    table = tippett([0, 0, 0, 1, 1], [-1, -1, 1, 1, 2])
    assert table["log10_lr"].tolist() == [-1, 1, 2]
    assert table["real"].tolist() == pytest.approx([1, 1 / 3, 0])
    assert table["fake"].tolist() == [1, 1, 0.5]
    assert tippett([1], [0.5])["real"].isna().all()


@pytest.mark.parametrize(
    ("ratio", "words"),
    [
        (1, NO_SUPPORT),
        (1.99, NO_SUPPORT),
        (0.51, NO_SUPPORT),
        (2, "weak support for fake over real"),
        (0.5, "weak support for real over fake"),
        (10, "moderate support for fake over real"),
        (1e-2, "moderately strong support for real over fake"),
        (1e3, "strong support for fake over real"),
        (1e4, "very strong support for fake over real"),
        (1e-6, "extremely strong support for real over fake"),
    ],
)
def test_words_are_those_of_the_scale(ratio: float, words: str) -> None:
    assert support(math.log10(ratio)) == words


def test_a_ratio_is_a_plain_frozen_value() -> None:
    value: Any = LikelihoodRatio(intercept=0.0, slope=1.0, low=-1.0, high=1.0, reals=10, fakes=10)
    with pytest.raises(AttributeError):
        value.slope = 2

"""Metrics with intervals over people and seeds: paired, and covering as often as they say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm

from gendkit.errors import InvalidLabels, UndefinedMetric
from gendkit.measure.intervals import Interval
from gendkit.measure.metrics import auroc, equal_error, tpr_at_fpr
from gendkit.measure.resampled import metric_intervals, paired_difference

Rows = NDArray[np.int64]


def clips(seed: int, count: int = 60) -> tuple[Rows, NDArray[np.float64], Rows]:
    """Labels, scores and components of clips, of which those of a component are alike."""
    rng = np.random.default_rng(seed)
    component = rng.integers(0, 20, count)
    labels = rng.integers(0, 2, count)
    scores = rng.normal(size=count) + labels + rng.normal(size=20)[component]
    return labels, scores, component


def people(
    seed: int, *, seeds: int = 1, moved: float = 0.0
) -> tuple[Rows, NDArray[np.float64], Rows]:
    """Labels, scores (detector, seed, clip) and people: three real and three fake clips of 30.

    How easy a person's reals and fakes are is drawn for each person, in part the same for both
    detectors; `moved` is by how much a training seed moves the fakes.
    """
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(30), 6)
    labels = np.tile(np.repeat([0, 1], 3), 30)
    alike, own = rng.normal(0, 0.8, (30, 2)), rng.normal(0, 0.4, (2, 30, 2))
    scores = (alike + own)[:, None, person, labels] + rng.normal(0, 0.6, (2, seeds, 180))
    apart = np.array([[1.2], [1.5]]) + rng.normal(0, moved, (2, seeds))
    return labels, scores + apart[..., None] * labels, person


def expected(moved: float = 0.0) -> dict[str, float]:
    """The AUROCs of `people` over all people and seeds that there could be."""
    spread = np.sqrt(2 * (0.8**2 + 0.4**2 + 0.6**2) + moved**2)
    first, second = norm.cdf(np.array([1.2, 1.5]) / spread)
    return {"first": first, "second": second, "difference": second - first}


@pytest.mark.slow
def test_intervals_over_people_cover_and_those_over_clips_do_not() -> None:
    truth = expected()
    covered = {(over, name): 0 for over in ("people", "clips") for name in truth}
    for seed in range(200):
        labels, scores, person = people(seed)
        for over, components in (("people", person), ("clips", np.arange(180))):
            found = paired_difference(labels, *scores[:, 0], components, resamples=300)
            for name, value in truth.items():
                covered[over, name] += found[name].low <= value <= found[name].high
    for name in truth:
        assert covered["people", name] / 200 == pytest.approx(0.95, abs=0.045), name
        assert covered["clips", name] / 200 < 0.9, name


@pytest.mark.slow
def test_intervals_over_people_and_seeds_cover() -> None:
    truth = expected(moved=0.4)
    covered = dict.fromkeys(truth, 0)
    for seed in range(100):
        labels, scores, person = people(seed, seeds=5, moved=0.4)
        found = paired_difference(labels, *scores, person, resamples=300)
        for name, value in truth.items():
            covered[name] += found[name].low <= value <= found[name].high
    for name in truth:
        assert covered[name] / 100 == pytest.approx(0.95, abs=0.06), name


def test_a_difference_of_two_detectors_is_paired() -> None:
    labels, scores, component = clips(0)
    found = paired_difference(labels, scores, scores * 2 + 1, component, resamples=200)
    assert found["first"].value == pytest.approx(auroc(labels, scores))
    assert found["first"] == found["second"]
    assert found["first"].high - found["first"].low > 0.1
    assert found["difference"] == Interval(value=0.0, low=0.0, high=0.0)


def test_a_difference_is_the_second_less_the_first() -> None:
    labels, scores, component = clips(1)
    found = paired_difference(labels, -scores, scores, component, resamples=200)
    value = 2 * auroc(labels, scores) - 1
    assert found["difference"].value == pytest.approx(value)
    assert found["difference"].low > 0


def test_seeds_are_drawn_as_a_second_factor() -> None:
    labels, scores, component = clips(2)
    rng = np.random.default_rng(6)
    seeds = scores + rng.normal(size=(6, 1)) * rng.normal(size=60) * 2
    one = paired_difference(labels, scores, scores, component, resamples=300)
    many = paired_difference(labels, scores, seeds, component, resamples=300)
    values = [auroc(labels, s) for s in seeds]
    assert many["second"].value == pytest.approx(np.mean(values))
    assert many["first"] == one["first"]
    assert many["difference"].high > many["difference"].low


def test_metrics_of_one_detector_share_their_resamples() -> None:
    labels, scores, component = clips(3)
    found = metric_intervals(labels, scores, component, resamples=100)
    assert list(found) == ["auroc", "average_precision", "macro_ap", "eer"]
    assert found["auroc"].value == auroc(labels, scores)
    assert found["eer"].value == equal_error(labels, scores)[0]
    paired = paired_difference(labels, scores, scores, component, resamples=100)
    assert found["auroc"].low == pytest.approx(paired["first"].low, abs=1e-12)
    assert found["auroc"].high == pytest.approx(paired["first"].high, abs=1e-12)


def test_any_metric_has_an_interval_and_seeds_are_averaged() -> None:
    labels, scores, component = clips(4)
    seeds = np.stack([scores, scores + 3 * labels])
    metrics = {"tpr": lambda y, s: tpr_at_fpr(y, s, 0.1)}
    found = metric_intervals(labels, seeds, component, metrics=metrics, resamples=50)["tpr"]
    assert found.value == pytest.approx(np.mean([tpr_at_fpr(labels, s, 0.1) for s in seeds]))
    assert found.parts["seed"] > 0
    assert found.low < found.value < found.high


def test_clips_of_one_component_have_no_interval() -> None:
    with pytest.warns(UndefinedMetric, match="one component, and one seed"):
        found = metric_intervals([0, 1, 1], [0.1, 0.2, 0.3], [7, 7, 7])["auroc"]
    assert found.value == 1
    assert np.isnan(found.low)


@pytest.mark.parametrize(
    ("labels", "components", "told"),
    [
        ([0, 0, 0, 1, 1, 1], [9, 9, 9, 1, 2, 3], "all clips of a class hang together"),
        ([0] * 6, [1, 2, 3, 4, 5, 6], "all 6 clips are of one class"),
    ],
)
def test_nothing_shows_how_a_class_of_one_component_varies(
    labels: list[int], components: list[int], told: str
) -> None:
    scores = np.linspace(0, 1, 6) ** 2
    with pytest.warns(UndefinedMetric, match=told):
        found = metric_intervals(labels, scores, components, resamples=20)
    assert all(np.isnan(one.low) for one in found.values())
    with pytest.warns(UndefinedMetric, match=told):
        both = paired_difference(labels, scores, -scores, components, resamples=20)
    assert np.isnan(both["difference"].low)
    assert np.isfinite(both["difference"].value) == (len(set(labels)) > 1)


def test_any_metric_can_be_compared() -> None:
    labels, scores, component = clips(5)
    better = scores + labels
    fast = paired_difference(labels, scores, better, component, resamples=60)
    slow = paired_difference(
        labels, scores, better, component, metric=lambda y, s: auroc(y, s), resamples=60
    )
    for name, interval in fast.items():
        assert slow[name].value == pytest.approx(interval.value, abs=1e-12)
        assert slow[name].low == pytest.approx(interval.low, abs=1e-12)
    errors = paired_difference(
        labels, scores, better, component, metric=lambda y, s: equal_error(y, s)[0], resamples=60
    )
    assert errors["difference"].value < 0


@pytest.mark.parametrize(
    ("first", "second", "component", "told"),
    [
        (np.zeros(3), np.zeros(4), np.zeros(4), r"scores \(3,\) for 4 clips"),
        (np.zeros((2, 4)), np.zeros((3, 4)), np.zeros(4), "as many seeds in both"),
        (np.zeros(4), np.zeros((1, 2, 4)), np.zeros(4), r"scores \(1, 2, 4\) for 4 clips"),
        (np.zeros(4), np.array([0, 1, np.nan, 1]), np.zeros(4), "not a finite"),
        (np.zeros(4), np.zeros(4), np.zeros(3), r"\(3,\) components"),
    ],
)
def test_detectors_that_did_not_score_the_same_clips_are_refused(
    first: Any, second: Any, component: Any, told: str
) -> None:
    with pytest.raises(InvalidLabels, match=told):
        paired_difference([0, 1, 0, 1], first, second, component)

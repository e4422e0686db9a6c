"""DeLong's variance: against the formula of 1988, and only for independent clips."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gendkit.errors import InvalidArgument, InvalidLabels, UndefinedMetric
from gendkit.measure.delong import DeLong, delong
from gendkit.measure.metrics import auroc
from gendkit.measure.resampled import paired_difference

Floats = NDArray[np.float64]


def by_pairs(labels: NDArray[np.int64], scores: Floats) -> tuple[Floats, Floats]:
    """AUROCs and covariance by the kernel of each pair, as DeLong et al. write it."""
    of_fakes, of_reals = [], []
    for row in scores:
        fake, real = row[labels == 1], row[labels == 0]
        kernel = (fake[:, None] > real) + 0.5 * (fake[:, None] == real)
        of_fakes.append(kernel.mean(axis=1))
        of_reals.append(kernel.mean(axis=0))
    aurocs = np.mean(of_fakes, axis=1)
    s10 = sum(
        np.outer(column, column) for column in (np.array(of_fakes) - aurocs[:, None]).T
    ) / (len(of_fakes[0]) - 1)  # fmt: skip
    s01 = sum(
        np.outer(column, column) for column in (np.array(of_reals) - aurocs[:, None]).T
    ) / (len(of_reals[0]) - 1)  # fmt: skip
    return aurocs, s10 / len(of_fakes[0]) + s01 / len(of_reals[0])


def clips(seed: int, count: int = 80) -> tuple[NDArray[np.int64], Floats]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    hard = rng.normal(size=count)
    noise = rng.normal(size=(2, count))
    return labels, np.stack([0.8 * labels + hard + noise[0], 1.2 * labels + hard + noise[1]])


@pytest.mark.parametrize("digits", [1, 8])
def test_the_fast_way_is_that_of_all_pairs(digits: int) -> None:
    labels, scores = clips(0)
    scores = scores.round(digits)  # with ties and without
    found = delong(labels, scores, np.arange(80))
    aurocs, covariance = by_pairs(labels, scores)
    np.testing.assert_allclose(found.aurocs, aurocs, atol=1e-12)
    np.testing.assert_allclose(found.covariance, covariance, atol=1e-12)
    assert found.aurocs[0] == pytest.approx(auroc(labels, scores[0]), abs=1e-12)


def test_intervals_are_those_of_the_bootstrap_where_clips_are_independent() -> None:
    labels, scores = clips(1, 400)
    found = delong(labels, scores, np.arange(400))
    drawn = paired_difference(labels, *scores, np.arange(400), resamples=2000)
    for one, other in (
        (found.interval(0), drawn["first"]),
        (found.interval(1), drawn["second"]),
        (found.difference(), drawn["difference"]),
    ):
        assert one.value == pytest.approx(other.value, abs=1e-12)
        assert one.high - one.low == pytest.approx(other.high - other.low, rel=0.1)


def test_the_p_value_is_small_where_the_interval_is_off_zero() -> None:
    labels, scores = clips(2, 600)
    found = delong(labels, scores, np.arange(600), level=0.95)
    assert (found.difference().low > 0) == (found.p_value() < 0.05)
    assert found.p_value(0, 1) == found.p_value(1, 0)
    at = DeLong(aurocs=found.aurocs, covariance=found.covariance, level=1 - found.p_value())
    assert at.difference().low == pytest.approx(0, abs=1e-9)
    assert np.isnan(found.p_value(1, 1))


def test_one_detector_has_an_interval_within_0_and_1() -> None:
    rng = np.random.default_rng(3)
    labels = np.repeat([0, 1], 6)
    found = delong(labels, labels + rng.normal(size=12) / 3, np.arange(12)).interval()
    assert 0 <= found.low < found.value <= found.high <= 1


def test_components_with_several_clips_are_refused() -> None:
    labels, scores = clips(4, 10)
    with pytest.raises(InvalidArgument, match="component 7 has 3 clips, and 2 of 7 components"):
        delong(labels, scores, [1, 2, 7, 7, 7, 3, 4, 5, 5, 6])


def test_a_detector_that_parts_the_classes_has_no_variance_and_that_is_said() -> None:
    with pytest.warns(UndefinedMetric, match="detector 1 has a variance of 0"):
        found = delong([0, 0, 1, 1], [[0.1, 0.6, 0.4, 0.8], [0.1, 0.2, 0.3, 0.4]], np.arange(4))
    assert found.interval(1).value == found.interval(1).low == 1


@pytest.mark.parametrize(
    ("labels", "scores", "components", "options", "error", "told"),
    [
        ([0, 1], [[0.1, 0.2, 0.3]], [0, 1], {}, InvalidLabels, r"for scores \(1, 3\)"),
        ([0, 1], [0.1, 0.2], [0], {}, InvalidLabels, r"\(1,\) components"),
        ([0, 2], [0.1, 0.2], [0, 1], {}, InvalidLabels, "labels must be 0"),
        ([0, 1], [0.1, np.nan], [0, 1], {}, InvalidLabels, "finite"),
        ([0, 1, 1], [0.1, 0.2, 0.3], [0, 1, 2], {}, InvalidLabels, "1 real and 2 fake"),
        ([0, 1], [0.1, 0.2], [0, 1], {"level": 95}, InvalidArgument, "level is 95"),
    ],
)
def test_nonsense_is_refused(
    labels: Any, scores: Any, components: Any, options: dict[str, Any],
    error: type[Exception], told: str,
) -> None:  # fmt: skip
    with pytest.raises(error, match=told):
        delong(labels, scores, components, **options)


def test_it_shows_itself() -> None:
    labels, scores = clips(5)
    found = delong(labels, scores, np.arange(80))
    assert repr(found).startswith("DeLong(0.")
    assert "AUROC 1" in found._repr_html_()

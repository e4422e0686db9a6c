"""A threshold that is moved: fixed on one set, counted on another."""

from __future__ import annotations

import numpy as np
import pytest

from gendkit.errors import InvalidArgument, InvalidLabels
from gendkit.evaluate.benchmark.transfer import threshold_transfer
from gendkit.measure.thresholds import fpr_bound

LABELS = np.repeat([0, 1], [20, 10])


def scores(shift: float) -> np.ndarray:
    """Reals from 0 to 19 and fakes from 10 to 19, a half higher, moved."""
    return np.concatenate([np.arange(20.0), np.arange(10.0, 20) + 0.5]) + shift


def test_the_threshold_of_a_set_is_what_so_many_of_its_reals_exceed_and_it_is_counted_on_others():
    ds = threshold_transfer({"a": (LABELS, scores(0)), "b": (LABELS, scores(4))}, fprs=(0.05, 0.1))
    at = ds.sel(rate=0.05)
    assert at["threshold"].to_numpy().tolist() == [18, 22]
    assert at["fpr"].to_numpy().tolist() == [[1 / 20, 5 / 20], [0, 1 / 20]]
    assert at["tpr"].to_numpy().tolist() == [[2 / 10, 6 / 10], [0, 2 / 10]]
    assert at["worst"].to_numpy().tolist() == ["b", "a"]
    assert ds["threshold"].sel(rate=0.1).to_numpy().tolist() == [17, 21]
    assert float(at["bound"][0]) == pytest.approx(fpr_bound(1, 20, level=0.95))
    assert ds["reals"].to_numpy().tolist() == [20, 20]


def test_a_set_with_too_few_reals_gives_no_threshold_but_is_counted_on():
    few = np.array([0, 0, 1]), np.array([0.0, 30, 40])
    ds = threshold_transfer({"few": few, "a": (LABELS, scores(0))}, fprs=(0.05,)).isel(rate=0)
    assert np.isnan(ds["threshold"].sel(source="few"))
    assert np.isnan(ds["fpr"].sel(source="few")).all()
    assert ds["worst"].sel(source="few").item() == ""
    assert float(ds["fpr"].sel(source="a", target="few")) == 0.5
    assert ds["worst"].sel(source="a").item() == "few"


def test_a_set_without_reals_has_no_false_positives():
    ds = threshold_transfer({"a": (LABELS, scores(0)), "fakes": ([1, 1], [3.0, 19])}).sel(rate=0.05)
    assert np.isnan(ds["fpr"].sel(source="a", target="fakes"))
    assert float(ds["tpr"].sel(source="a", target="fakes")) == 0.5
    assert ds["worst"].sel(source="a").item() == ""


def test_clips_that_hang_together_count_as_one_in_the_bound():
    pairs = np.arange(30) // 2
    sets = {"alone": (LABELS, scores(0)), "pairs": (LABELS, scores(0), pairs)}
    ds = threshold_transfer(sets, fprs=(0.05,)).isel(rate=0)
    assert ds["threshold"].to_numpy().tolist() == [18, 18]
    expected = [fpr_bound(1, 20), fpr_bound(0.5, 10)]
    assert ds["bound"].to_numpy().tolist() == pytest.approx(expected)
    with pytest.raises(InvalidLabels, match="pairs: "):
        threshold_transfer({"pairs": (LABELS, scores(0), pairs[1:])})


def test_the_worst_set_is_another_one():
    ds = threshold_transfer({"a": (LABELS, scores(0)), "low": (LABELS, scores(-50))}).sel(rate=0.05)
    assert ds["worst"].sel(source="a").item() == "low"
    assert float(ds["fpr"].sel(source="a", target="low")) == 0


@pytest.mark.parametrize(
    ("labels", "values"), [([0, 2], [0.0, 1]), ([0, 1], [0.0, np.nan]), ([0, 1], [0.0])]
)
def test_what_is_no_set_of_labelled_scores_is_refused(labels: list[int], values: list[float]):
    with pytest.raises(InvalidLabels, match=r"^a: "):
        threshold_transfer({"a": (labels, values)})


def test_no_set_is_refused():
    with pytest.raises(InvalidArgument, match="no data set"):
        threshold_transfer({})

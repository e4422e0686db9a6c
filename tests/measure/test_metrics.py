"""Metrics against the reference's numbers and against their definitions."""

from __future__ import annotations

import json
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

import gendkit as gk
from gendkit.errors import InvalidArgument, InvalidLabels, UndefinedMetric
from gendkit.measure.calibration import fit_temperature
from gendkit.measure.likelihood import cllr, cllr_min, elub, tippett
from gendkit.measure.metrics import (
    METRICS,
    Ranked,
    auroc,
    calibration_error,
    equal_error,
    macro_ap,
    summary,
    tpr_at_fpr,
    video_level,
    weighted_auroc,
)
from gendkit.measure.thresholds import fpr_bound, threshold_at

Labels = NDArray[np.int64]
Scores = NDArray[np.float64]


REFERENCE = json.loads(Path(__file__).with_name("reference_metrics.json").read_text())
CASES = [(case, level) for case in range(3) for level in ("frame", "video")]


def reference(case: int, level: str) -> tuple[Labels, Scores, dict[str, Any]]:
    """Labels and scores of a case, and what the reference implementation made of them."""
    given = REFERENCE["cases"][case]
    labels = np.array(list(given["labels"]), dtype=np.int64)
    scores = np.array(given["p_fake"].split(), dtype=np.float64)
    if level == "video":
        labels, scores = video_level(given["videos"].split(), labels, scores)
    return labels, scores, given[level]


@pytest.mark.parametrize(("case", "level"), CASES)
def test_metrics_are_those_of_the_reference(case: int, level: str) -> None:
    labels, scores, expected = reference(case, level)
    found = summary(labels, scores)
    assert found["n_real"] + found["n_fake"] == expected["n"]
    for name in ("auroc", "macro_ap", "eer", "eer_threshold"):
        assert found[name] == pytest.approx(expected[name], abs=1e-9), name
    assert found["w1"] == pytest.approx(expected["w1"], abs=1e-9)


@pytest.mark.parametrize(("case", "level"), CASES)
def test_tpr_at_fpr_is_the_reference_s_where_the_rate_is_a_real_or_more(
    case: int, level: str
) -> None:
    """Below, the reference states the share of fakes above all reals; here it is not estimable."""
    labels, scores, expected = reference(case, level)
    found = summary(labels, scores)
    for fpr, tpr in zip((0.001, 0.01, 0.05), expected["tpr_at_fpr"], strict=True):
        assert tpr_at_fpr(labels, scores, fpr) == pytest.approx(tpr, abs=1e-9)
        if fpr * found["n_real"] >= 1:
            assert found["tpr_at_fpr"][fpr] == pytest.approx(tpr, abs=1e-9)
        else:
            assert np.isnan(found["tpr_at_fpr"][fpr])
            assert found["thresholds"][fpr].reason == f"not estimable ({found['n_real']} real)"


def test_the_reference_s_numbers_are_those_in_the_shared_folder(shared: Path) -> None:
    with np.load(shared / "golden" / "metrics.npz") as golden:
        for case, given in enumerate(REFERENCE["cases"]):
            assert "".join(map(str, golden[f"{case}_label"])) == given["labels"]
            assert golden[f"{case}_p_fake"].tolist() == [float(s) for s in given["p_fake"].split()]
            for level in ("frame", "video"):
                for name, value in given[level].items():
                    assert golden[f"{case}_{level}_{name}"].tolist() == value


def test_auroc_is_the_share_of_pairs_in_order_with_ties_as_halves() -> None:
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 2, 60), rng.integers(0, 9, 60) / 8
    real, fake = scores[labels == 0], scores[labels == 1]
    pairs = (fake[:, None] > real) + 0.5 * (fake[:, None] == real)
    assert auroc(labels, scores) == pytest.approx(pairs.mean(), abs=1e-12)


def test_macro_ap_treats_both_classes_alike() -> None:
    rng = np.random.default_rng(1)
    labels, scores = rng.integers(0, 2, 40), rng.random(40)
    assert macro_ap(labels, scores) == pytest.approx(macro_ap(1 - labels, -scores), abs=1e-12)


@pytest.mark.parametrize("name", METRICS)
def test_perfect_order_scores_one(name: str) -> None:
    assert METRICS[name]([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4]) == 1


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("labels", [[], [0, 0], [1, 1]])
def test_a_missing_class_has_no_metric(name: str, labels: list[int]) -> None:
    assert np.isnan(METRICS[name](labels, np.zeros(len(labels))))


def test_a_video_scores_the_mean_of_its_frames() -> None:
    labels, scores = video_level(["b", "a", "b", "a", "c"], [1, 0, 1, 0, 1], [1, 0, 0, 0.5, 0.9])
    assert labels.tolist() == [1, 0, 1]  # in order of first appearance
    assert scores.tolist() == [0.5, 0.25, 0.9]


def test_a_video_with_frames_of_both_labels_is_refused() -> None:
    with pytest.raises(InvalidLabels, match="video 'a'"):
        video_level(["b", "a", "a"], [0, 0, 1], [0.1, 0.2, 0.3])


@pytest.mark.parametrize(
    ("labels", "scores", "words"),
    [
        ([0, 1], [0.5], "must be"),
        ([[0], [1]], [[0.5], [0.5]], "must be"),
        ([0, -1], [0.5, 0.5], "must be 0"),
        ([0, 1], [0.5, float("nan")], "finite"),
    ],
)
def test_impossible_labels_and_scores_are_refused(
    labels: list[int], scores: list[float], words: str
) -> None:
    for metric in METRICS.values():
        with pytest.raises(InvalidLabels, match=words):
            metric(labels, scores)


def test_a_weighted_auroc_is_that_of_items_written_down_as_often() -> None:
    rng = np.random.default_rng(2)
    labels, weights = rng.integers(0, 2, 50), rng.integers(0, 4, 50)
    scores = rng.integers(0, 12, (3, 2, 50)) / 12  # with many ties
    found = weighted_auroc(labels, scores, weights)
    again = np.repeat(np.arange(50), weights)
    assert found.shape == (3, 2)
    for i in np.ndindex(3, 2):
        assert found[i] == pytest.approx(auroc(labels[again], scores[i][again]), abs=1e-12)
    assert weighted_auroc(labels, scores[0, 0], np.ones(50)) == pytest.approx(
        auroc(labels, scores[0, 0]), abs=1e-12
    )


def test_scores_are_ranked_once_for_many_weights() -> None:
    rng = np.random.default_rng(3)
    labels, scores = rng.integers(0, 2, 30), rng.random((4, 30)).round(1)
    ranked = Ranked(labels, scores)
    for weights in rng.random((5, 30)):
        np.testing.assert_array_equal(
            ranked.auroc(weights), weighted_auroc(labels, scores, weights)
        )
    assert np.isnan(ranked.auroc((labels == 1).astype(float))).all()  # no real is left
    assert np.isnan(Ranked([], np.zeros((4, 0))).auroc([])).tolist() == [True] * 4


@pytest.mark.parametrize(
    ("labels", "scores", "weights", "error", "told"),
    [
        ([0, 1], [[0.1, 0.2, 0.3]], [1, 1], InvalidLabels, r"\(2,\) labels for \(1, 3\) scores"),
        ([0, 1], [0.1, 0.2], [1, 1, 1], InvalidLabels, r"\(3,\) weights"),
        ([0, 2], [0.1, 0.2], [1, 1], InvalidLabels, "0 .real. or 1"),
        ([0, 1], [0.1, np.nan], [1, 1], InvalidLabels, "not a finite"),
        ([0, 1], [0.1, 0.2], [1, -1], InvalidArgument, "weight is negative"),
        ([0, 1], [0.1, 0.2], [1, np.inf], InvalidArgument, "weight is negative or not finite"),
    ],
)
def test_impossible_weights_are_refused(
    labels: Any, scores: Any, weights: Any, error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        weighted_auroc(labels, scores, weights)


def test_the_equal_error_is_where_the_roc_curve_meets_the_diagonal() -> None:
    """Against a search along the curve, drawn from corner to corner in small steps."""
    rng = np.random.default_rng(4)
    for _ in range(20):
        labels = rng.permutation(np.repeat([0, 1], rng.integers(3, 30, 2)))
        scores = (rng.random(len(labels)) + 0.3 * labels).round(rng.integers(1, 4))
        fpr, tpr, thresholds = roc_curve(labels, scores)
        along = np.linspace(0, len(fpr) - 1, 200_001)
        f, t = (np.interp(along, np.arange(len(fpr)), values) for values in (fpr, tpr))
        value, threshold = equal_error(labels, scores)
        assert value == pytest.approx(f[np.abs(f + t - 1).argmin()], abs=1e-3)
        corner = int(np.argmax(f + t - 1 >= 0) / 200_000 * (len(fpr) - 1))
        assert thresholds[min(corner + 1, len(fpr) - 1)] <= threshold
        assert threshold <= thresholds[corner]


def test_a_threshold_that_parts_the_classes_has_no_equal_error() -> None:
    assert equal_error([0, 0, 1, 1, 1], [0.1, 0.2, 0.7, 0.9, 0.9]) == (0.0, 0.7)
    assert equal_error([1, 1, 0], [0.1, 0.2, 0.7])[0] == 1.0


def test_a_threshold_before_the_first_corner_is_the_highest_score_and_not_infinite() -> None:
    assert equal_error([0, 1], [0.5, 0.5]) == (0.5, 0.5)


def test_the_rates_at_a_threshold_are_counted() -> None:
    labels = np.repeat([0, 1], [200, 100])
    scores = np.concatenate([np.arange(200) / 200, 0.5 + np.arange(100) / 200])
    found = summary(labels, scores, threshold=0.75, fprs=(0.01, 0.05))
    assert found["fpr"] == pytest.approx(49 / 200)
    assert found["balanced_accuracy"] == pytest.approx((151 / 200 + 49 / 100) / 2)
    precision, recall = 49 / 98, 49 / 100
    assert found["f1"] == pytest.approx(2 * precision * recall / (precision + recall))
    for fpr in (0.01, 0.05):
        threshold = threshold_at(scores[labels == 0], fpr)
        assert found["thresholds"][fpr].value == threshold
        assert found["tpr_at_fpr"][fpr] == (scores[labels == 1] > threshold).mean()
    assert found["brier"] == pytest.approx(((scores - labels) ** 2).mean())


def test_the_calibration_error_is_a_weighted_mean_over_bins() -> None:
    rng = np.random.default_rng(5)
    labels, scores = rng.integers(0, 2, 300), rng.random(300)
    expected = 0.0
    for k in range(15):
        there = (scores >= k / 15) & (scores < (k + 1) / 15)
        if there.any():
            expected += there.mean() * abs(scores[there].mean() - labels[there].mean())
    assert calibration_error(labels, scores) == pytest.approx(expected, abs=1e-12)
    assert calibration_error([1, 1, 0], [1.0, 1.0, 0.0]) == 0
    with pytest.raises(InvalidArgument, match="bins is 0"):
        calibration_error([1], [1.0], bins=0)


def test_a_calibrated_score_has_next_to_no_calibration_error() -> None:
    rng = np.random.default_rng(6)
    scores = rng.random(200_000)
    labels = (rng.random(200_000) < scores).astype(np.int64)
    assert calibration_error(labels, scores) < 0.01
    assert calibration_error(labels, scores**2) > 0.1


def test_a_summary_is_a_mapping_with_flat_numbers_and_words() -> None:
    labels, scores, _ = reference(0, "frame")
    found = gk.summary(labels, scores)
    assert {"auroc", "average_precision", "eer", "eer_threshold", "tpr_at_fpr"} <= set(found)
    assert dict(found)["ece"] == found.ece
    assert str(pickle.loads(pickle.dumps(found))) == str(found)
    with pytest.raises(KeyError, match="words"):
        found["words"]
    assert "words" not in found
    flat = found.numbers()
    assert all(isinstance(value, int | float) for value in flat.values())
    assert flat["tpr_at_fpr_0.05"] == found["tpr_at_fpr"][0.05]
    assert flat["w1_separation"] == found["w1"].separation_fake
    assert np.isnan(flat["threshold_at_fpr_0.001"])
    text = str(found)
    assert "TPR at FPR 0.1 %: not estimable (144 real)" in text
    assert "TPR at FPR 5 %: 0.580 above " in text
    assert "(FPR at most 0.089, one-sided 95%)" in text  # of 7 in 144
    assert "not estimable (144 real)" in found._repr_html_()
    assert repr(found) == "Summary(AUROC 0.889, EER 0.216 of 144 real and 176 fake)"


def test_bounds_count_clips_of_a_component_as_one() -> None:
    labels, scores, _ = reference(0, "frame")
    component = np.repeat(np.arange(40), 8)
    found = summary(labels, scores, components=component)
    assert found["independent_reals"] == 18
    assert found["fpr_bound"] == pytest.approx(fpr_bound(found["fpr"] * 18, 18))
    assert found["fpr_bound"] > summary(labels, scores)["fpr_bound"]
    assert "as of 18.0 independent reals" in str(found)
    assert "independent" not in str(summary(labels, scores))
    with pytest.raises(InvalidLabels, match="components for"):
        summary(labels, scores, components=component[1:])


@pytest.mark.parametrize(
    ("labels", "scores", "told"),
    [
        ([], [], "there is no score"),
        ([0, 0], [0.1, 0.2], "all 2 are real and none is fake"),
        ([1, 1], [0.1, 0.2], "all 2 are fake and none is real"),
        ([1], [0.7], "there is one score, of a fake and none is real"),
        ([0, 1, 1], [0.5, 0.5, 0.5], "all 3 scores are 0.5"),
        ([0, 1, 1], [0.2, np.nan, 0.4], "1 of 3 scores are NaN and left out"),
        ([0, 1], [np.nan, np.nan], "2 of 2 scores are NaN and left out; there is no score"),
    ],
)
def test_what_is_not_defined_is_nan_and_a_warning_says_so(
    labels: list[int], scores: list[float], told: str
) -> None:
    with pytest.warns(UndefinedMetric, match=told) as caught:
        found = summary(labels, scores)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert told in "; ".join(found.warnings)
    there = np.isfinite(scores)
    assert found.n_unscored == len(scores) - there.sum()
    if len(set(np.asarray(labels)[there].tolist())) < 2:
        for name in ("auroc", "average_precision", "macro_ap", "eer", "eer_threshold", "f1"):
            assert np.isnan(found[name]), name
        assert np.isnan(found["balanced_accuracy"])
        assert all(np.isnan(tpr) for tpr in found["tpr_at_fpr"].values())
    assert np.isnan(found["brier"]) == (not there.any())
    assert str(found)
    assert found._repr_html_()


def test_scores_that_are_all_equal_have_the_metrics_of_chance() -> None:
    with pytest.warns(UndefinedMetric):
        found = summary([0, 0, 0, 1], [0.3] * 4)
    assert (found["auroc"], found["average_precision"], found["eer"]) == (0.5, 0.25, 0.5)
    assert found["eer_threshold"] == 0.3
    assert found["w1"].separation_real == 0


def test_nothing_is_warned_of_where_all_is_defined() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert summary([0, 1, 0, 1], [0.1, 0.4, 0.3, 0.8]).warnings == ()


@pytest.mark.parametrize(
    ("labels", "scores", "options", "error", "told"),
    [
        ([0, 1], [0.1], {}, InvalidLabels, "both must be"),
        ([0, -1], [0.1, 0.2], {}, InvalidLabels, "not -1"),
        ([0, 0.5], [0.1, 0.2], {}, InvalidLabels, "not 0.5"),
        ([0, 1], [0.1, 1.2], {}, InvalidArgument, "a score is 1.2; P.fake. lies between 0 and 1"),
        ([0, 1], [-3.0, 1.0], {}, InvalidArgument, "a score is -3"),
        ([0, 1], [0.1, np.inf], {}, InvalidLabels, "not a finite"),
        ([0, 1], [0.1, 0.2], {"threshold": np.nan}, InvalidArgument, "threshold is nan"),
        ([0, 1], [0.1, 0.2], {"fprs": (0.0,)}, InvalidArgument, "fpr is 0.0"),
        ([0, 1], [0.1, 0.2], {"level": 1.0}, InvalidArgument, "level is 1.0"),
    ],
)
def test_nonsense_has_no_summary(
    labels: Any, scores: Any, options: dict[str, Any], error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        summary(labels, scores, **options)


@pytest.mark.parametrize("labels", [[0.9, 0, 1, 0.4], [0, 1, float("nan"), 1], ["0", "1"] * 2])
def test_a_label_is_never_cut_down_to_one(labels: list[Any]) -> None:
    scores = [0.1, 0.9, 0.2, 0.8]
    for ask in (auroc, macro_ap, summary, fit_temperature, cllr, cllr_min, tippett, elub):
        with pytest.raises(InvalidLabels, match="labels must be 0"):
            ask(labels, scores)
    with pytest.raises(InvalidLabels, match="labels must be 0"):
        Ranked(labels, scores)

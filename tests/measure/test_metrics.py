"""Metrics against the reference's numbers and against their definitions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gendkit.errors import InvalidLabels
from gendkit.measure.metrics import METRICS, auroc, macro_ap, video_level


@pytest.mark.parametrize("case", range(3))
@pytest.mark.parametrize("level", ["frame", "video"])
def test_metrics_are_those_of_the_reference(shared: Path, case: int, level: str) -> None:
    with np.load(shared / "golden" / "metrics.npz") as golden:
        labels, scores = golden[f"{case}_label"], golden[f"{case}_p_fake"]
        if level == "video":
            labels, scores = video_level(golden[f"{case}_video"].tolist(), labels, scores)
        assert len(labels) == golden[f"{case}_{level}_n"]
        assert auroc(labels, scores) == pytest.approx(golden[f"{case}_{level}_auroc"], abs=1e-12)
        expected = golden[f"{case}_{level}_macro_ap"]
        assert macro_ap(labels, scores) == pytest.approx(expected, abs=1e-12)


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

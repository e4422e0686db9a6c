"""From frames to people, clips and files, and from there to tables of summaries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import gendkit as gk
from gendkit.errors import InvalidArgument, InvalidLabels, UndefinedMetric
from gendkit.measure.levels import at_level, video_level
from gendkit.measure.tables import summary_table


def crops() -> pd.DataFrame:
    """Two clips named alike in two data sets, one of them with two people."""
    rows = [
        ("one", "a", 0, 0, 0, 0.2), ("one", "a", 0, 1, 0, 0.4), ("one", "a", 1, 0, 0, 0.9),
        ("two", "a", 0, 0, 1, 0.7), ("two", "a", 0, 1, 1, np.nan), ("two", "b", 0, 0, 1, np.nan),
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["dataset", "video", "track", "frame", "label", "p_fake"])
    return table.assign(
        sample=[str(i) for i in range(6)], method=np.where(table["label"] == 1, "swap", ""),
        margin=2 * table["p_fake"],
    )  # fmt: skip


def test_a_video_is_the_mean_of_all_its_crops() -> None:
    found = at_level(crops())
    assert found[["dataset", "video"]].to_numpy().tolist() == [
        ["one", "a"], ["two", "a"], ["two", "b"]
    ]  # fmt: skip
    assert found["p_fake"].tolist() == pytest.approx([0.5, 0.7, np.nan], nan_ok=True)
    assert found["margin"].tolist() == pytest.approx([1.0, 1.4, np.nan], nan_ok=True)
    assert found["crops"].tolist() == [3, 1, 0]
    assert found["method"].tolist() == ["", "swap", "swap"]
    assert not {"sample", "frame", "track"} & set(found)


def test_people_of_a_clip_stay_apart_and_the_file_is_the_one_who_scores_highest() -> None:
    people = at_level(crops(), "track")
    assert people["track"].tolist() == [0, 1, 0, 0]
    assert people["p_fake"].tolist() == pytest.approx([0.3, 0.9, 0.7, np.nan], nan_ok=True)
    files = at_level(crops(), "file")
    assert files["p_fake"].tolist() == pytest.approx([0.9, 0.7, np.nan], nan_ok=True)
    assert files["track"].tolist() == [1, 0, 0]


def test_frames_stay_as_they_are() -> None:
    table = crops()
    found = at_level(table, "frame")
    pd.testing.assert_frame_equal(found[list(table.columns)], table)
    assert found["crops"].tolist() == [1, 1, 1, 1, 0, 0]


def test_a_table_of_no_crops_has_no_clips() -> None:
    for level in ("frame", "track", "video", "file"):
        assert not len(at_level(crops()[:0], level))


def test_a_level_is_that_of_a_loop_over_the_clips() -> None:
    rng = np.random.default_rng(0)
    video = rng.integers(0, 40, 500)
    table = pd.DataFrame(
        {
            "dataset": "d", "video": video.astype(str), "track": rng.integers(0, 3, 500),
            "label": video % 2, "p_fake": rng.random(500).astype(np.float32),
        }
    )  # fmt: skip
    found = at_level(table)
    labels, scores = video_level(table["video"].to_numpy(), table["label"], table["p_fake"])
    assert found["video"].tolist() == list(dict.fromkeys(table["video"]))
    np.testing.assert_array_equal(found["label"], labels)
    np.testing.assert_allclose(found["p_fake"], scores, atol=1e-12)
    for video, label, score in zip(found["video"], labels, scores, strict=True):
        own = table[table["video"] == video]
        assert score == pytest.approx(own["p_fake"].astype(float).mean(), abs=1e-12)
        assert set(own["label"]) == {label}
    files = at_level(table, "file").set_index("video")["p_fake"]
    for video, own in table.groupby("video"):
        people = own.astype({"p_fake": float}).groupby("track")["p_fake"].mean()
        assert files[video] == pytest.approx(people.max(), abs=1e-12)


@pytest.mark.parametrize(
    ("change", "level", "error", "told"),
    [
        ({}, "clip", InvalidArgument, "level is 'clip'; expected one of frame, track"),
        ({"drop": "dataset"}, "video", InvalidArgument, "lacks dataset; it has video"),
        ({"drop": "track"}, "track", InvalidArgument, "lacks track"),
        ({"drop": "p_fake margin"}, "video", InvalidArgument, "lacks p_fake and margin"),
        ({"label": 1}, "video", InvalidLabels, "clip 'a' has crops labelled real and crops"),
    ],
)
def test_a_table_that_is_none_is_refused(
    change: dict[str, Any], level: Any, error: type[Exception], told: str
) -> None:
    table = crops()
    if "drop" in change:
        table = table.drop(columns=change["drop"].split())
    if "label" in change:
        table.loc[1, "label"] = change["label"]
    with pytest.raises(error, match=told):
        at_level(table, level)


def test_frames_without_a_label_or_a_score_each_are_refused() -> None:
    with pytest.raises(InvalidLabels, match="expected one a frame"):
        video_level(["a", "b"], [0], [0.1])
    with pytest.raises(InvalidLabels, match="finite"):
        video_level(["a", "b"], [0, 1], [0.1, np.nan])


def scored() -> pd.DataFrame:
    """Two detectors, three seeds, two methods, all on the same clips of two data sets."""
    rng = np.random.default_rng(1)
    parts = []
    for dataset in ("one", "two"):
        label = np.repeat([0, 1, 1], 10)
        method = np.repeat(["", "swap", "edit"], 10)
        for detector, strength in (("probe", 0.2), ("tuned", 0.6)):
            for seed in range(3):
                score = rng.random(30) * (1 - strength) + strength * label
                parts.append(pd.DataFrame({
                    "detector": detector, "seed": seed, "dataset": dataset, "label": label,
                    "video": [f"v{i}" for i in range(30)], "method": method, "p_fake": score,
                }))  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def test_a_table_has_a_row_a_group_and_becomes_an_array() -> None:
    table = scored()
    found = summary_table(table, by=["detector", "dataset", "method", "seed"])
    assert len(found) == 2 * 2 * 2 * 3
    one = table.query("detector == 'tuned' and dataset == 'two' and seed == 1")
    one = one[one["method"].isin(["", "edit"])]
    row = found.loc["tuned", "two", "edit", 1]
    assert row["auroc"] == gk.auroc(one["label"], one["p_fake"])
    assert (row["n_real"], row["n_fake"], row["note"]) == (10, 10, "")
    ds = found.to_xarray()
    assert dict(ds.sizes) == {"detector": 2, "dataset": 2, "method": 2, "seed": 3}
    assert ds["auroc"].sel(detector="tuned").mean() > ds["auroc"].sel(detector="probe").mean()


def test_pooled_groups_are_of_all_methods() -> None:
    table = scored()
    found = summary_table(table, by=["detector", "seed"], fprs=(0.1,), of="video")
    assert found.index.names == ["detector", "seed"]
    assert found["n_fake"].tolist() == [40] * 6
    assert found["tpr_at_fpr_0.1"].notna().all()


def test_bounds_of_a_group_count_what_is_of_a_component_as_one() -> None:
    table = scored().query("detector == 'tuned' and seed == 0")
    linked = table.assign(component=table["video"].str[1:].astype(int) // 2)
    for given, reals in ((table, 10), (linked, 5)):
        found = summary_table(given, fprs=(0.1,))
        assert found["independent_reals"].tolist() == [reals] * 2
    assert (found["fpr_bound"] > summary_table(table, fprs=(0.1,))["fpr_bound"]).all()


def test_what_is_not_defined_in_a_group_is_noted() -> None:
    table = scored()
    table = table[(table["dataset"] == "one") | (table["label"] == 0)]
    with pytest.warns(UndefinedMetric, match="two: all 10 are real.*see the column note"):
        found = summary_table(table[table["seed"] == 0].drop_duplicates(["dataset", "video"]))
    assert found["note"]["one"] == ""
    assert np.isnan(found["auroc"]["two"])
    assert found.to_xarray()["n_real"].sel(dataset="two") == 10


def test_columns_to_group_by_have_to_be_there() -> None:
    with pytest.raises(InvalidArgument, match="no column 'family'"):
        summary_table(scored(), by=["family"])
    with pytest.raises(InvalidArgument, match="by is empty"):
        summary_table(scored(), by=[])

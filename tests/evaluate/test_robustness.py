"""Robustness: each crop at each level, what is measured of it, and a threshold that stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gendkit as gk
from gendkit.data.degrade import Chain
from gendkit.data.degrade_image import degrade_image
from gendkit.data.manifest import Manifest
from gendkit.errors import InvalidArgument, InvalidLabels, InvalidManifest
from gendkit.evaluate.final import read_log, times_logged
from gendkit.evaluate.robustness import GRIDS, robustness, robustness_table
from gendkit.measure.metrics import auroc
from gendkit.measure.thresholds import share_bound, threshold_at
from gendkit.model.detector import Detector
from gendkit.progress import silent
from gendkit.testing.small import small_backbone, small_crops, small_detector

PEOPLE = ("ann", "bob", "cem", "dee", "eve", "fay")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Two crops of a real and a fake clip of each of six people."""
    return small_crops(tmp_path_factory.mktemp("crops"), identities=PEOPLE, frames=2)


@pytest.fixture
def bright(monkeypatch: pytest.MonkeyPatch) -> Detector:
    """A detector that takes bright crops for fakes."""
    detector = small_detector(small_backbone())

    def predict(crops: Any, *, batch_size: int = 32) -> np.ndarray:
        return np.array([brightness(crop) for crop in crops], np.float32)

    monkeypatch.setattr(detector, "predict", predict)
    return detector


def brightness(crop: np.ndarray) -> float:
    return float(np.float32(crop.mean() / 255))


def test_the_grids_are_those_of_the_paper() -> None:
    said = {name: [text.partition(":")[2] for text in grid] for name, grid in GRIDS.items()}
    assert said.pop("jpeg") == ["100", "80", "60", "40", "20", "10"]
    assert said.pop("blur") == ["5:0.5", "7:1", "11:1.5", "13:2", "19:3"]
    assert said.pop("noise") == ["0.01", "0.03", "0.05", "0.1", "0.2"]
    for name, sides in said.items():
        kind = name.removeprefix("resize-")
        assert sides == [f"224:{kind}", f"112:{kind}", f"64:{kind}"]
    assert len(said) == 6
    for grid in GRIDS.values():
        assert [str(Chain.parse(text)) for text in grid] == list(grid)


def test_each_level_is_the_score_of_the_degraded_crops(manifest: Manifest) -> None:
    detector = small_detector(small_backbone())
    grids = {"own": ["jpeg:30", "resize:20:area,blur:5:1"], "jpeg": ["jpeg:30"]}
    ds = robustness(manifest, detector, grids=grids, progress=silent)
    assert ds["chain"].to_numpy().tolist() == ["", *grids["own"], "", "jpeg:30"]
    assert ds["grid"].to_numpy().tolist() == ["own"] * 3 + ["jpeg"] * 2
    assert ds["level"].to_numpy().tolist() == [0, 1, 2, 0, 1]
    for setting, text in enumerate(ds["chain"].to_numpy()):
        chain = Chain.parse(text) if text else Chain()
        crops = [degrade_image(manifest.crop(i), chain.at(0)) for i in range(len(manifest))]
        expected = detector.predict(crops).astype(float).reshape(-1, 2).mean(1)
        np.testing.assert_allclose(ds["score"][setting], expected, atol=1e-6)
    np.testing.assert_array_equal(ds["score"][1], ds["score"][4])
    np.testing.assert_array_equal(ds["score"][0], ds["score"][3])


@pytest.mark.usefixtures("own_log")
def test_a_look_at_final_crops_is_logged(manifest: Manifest) -> None:
    detector = small_detector(small_backbone())
    robustness(manifest, detector, grids={"jpeg": ["jpeg:30"]}, progress=silent)
    assert read_log() == []
    final = replace(manifest, table=manifest.table.assign(split="final"))
    robustness(final, detector, grids={"jpeg": ["jpeg:30"]}, progress=silent)
    assert [entry["by"] for entry in read_log()] == ["gendkit study robustness"]
    assert times_logged(final.faces()) == 1


@pytest.mark.usefixtures("own_log")
def test_a_threshold_that_is_fixed_on_final_crops_is_a_look_at_them(manifest: Manifest) -> None:
    final = replace(manifest, table=manifest.table.assign(split="final"))
    ds = robustness(
        manifest, small_detector(small_backbone()), grids={"jpeg": ["jpeg:30"]}, reference=final,
        progress=silent,
    )  # fmt: skip
    assert times_logged(final.faces()) == ds.attrs["final_evaluations"] == 1


def test_scores_that_are_kept_are_of_the_same_preprocessing(
    manifest: Manifest, tmp_path: Path
) -> None:
    one, grids = small_detector(small_backbone()), {"jpeg": ["jpeg:30"]}
    header = one.adapter.header
    other = replace(header, preprocessing=replace(header.preprocessing, mean=(0.1, 0.2, 0.3)))
    turned = Detector(one.backbone, spec=one.spec, adapter=replace(one.adapter, header=other))
    assert turned.adapter.hash == one.adapter.hash
    kept = [
        robustness(manifest, who, grids=grids, keep=tmp_path, progress=silent)["score"]
        for who in (one, turned, one)
    ]
    assert not np.array_equal(kept[0], kept[1])
    np.testing.assert_array_equal(kept[0], kept[2])


def test_the_measures_are_those_of_the_scores_at_a_threshold_of_the_crops_as_they_are(
    manifest: Manifest, bright: Detector
) -> None:
    ds = robustness(
        manifest, bright, grids={"light": ["colour:1.1", "colour:1.5"]}, max_fpr=0.35,
        progress=silent,
    )  # fmt: skip
    score, real = ds["score"].to_numpy(), ds["label"].to_numpy() == 0
    threshold = np.sort(score[0][real])[::-1][2]
    assert ds.attrs["threshold"] == threshold
    assert ds.attrs["threshold_reals"] == 6
    assert ds.attrs["threshold_bound"] == share_bound(2, 6, ds["component"][real])
    assert ds.attrs["threshold_from"] == "these crops as they are"
    table = robustness_table(ds)
    assert table.index.names == ["grid", "level", "chain"]
    for row, scores in zip(table.itertuples(), score, strict=True):
        assert row.auroc == pytest.approx(auroc(ds["label"], scores))
        assert row.fpr == (scores[real] > threshold).mean()
        assert row.tpr == (scores[~real] > threshold).mean()
        assert row.shift_real == pytest.approx((scores - score[0])[real].mean())
        assert row.shift_fake == pytest.approx((scores - score[0])[~real].mean())
    assert table["fpr"].tolist() == sorted(table["fpr"])
    assert table["fpr"].iloc[0] == 2 / 6
    assert table["fpr"].iloc[2] == 1.0
    assert table["shift_real"].iloc[0] == table["shift_fake"].iloc[0] == 0.0


def test_the_threshold_may_be_fixed_on_other_crops(
    manifest: Manifest, bright: Detector, tmp_path: Path
) -> None:
    other = small_crops(tmp_path, identities=("gus", "hal", "ida"), frames=1, seed=4)
    ds = robustness(
        manifest, bright, grids={"jpeg": ["jpeg:30"]}, reference=tmp_path, progress=silent
    )
    reals = [brightness(other.crop(i)) for i in range(len(other)) if other.labels()[i] == 0]
    assert ds.attrs["threshold"] == pytest.approx(max(reals))
    assert ds.attrs["threshold_from"] == "the reference as it is"
    assert ds.attrs["threshold_reals"] == 3


@pytest.mark.parametrize(
    ("max_fpr", "threshold"), [(0.0, 0.9), (0.19, 0.9), (0.2, 0.7), (0.4, 0.7), (0.6, 0.3)]
)
def test_no_more_reals_than_allowed_are_above_the_threshold(
    max_fpr: float, threshold: float
) -> None:
    reals = np.array([0.3, 0.9, 0.1, 0.7, 0.7])
    assert threshold_at(reals, max_fpr) == threshold
    assert (reals > threshold).mean() <= max_fpr


def test_people_of_a_clip_are_never_averaged(manifest: Manifest, bright: Detector) -> None:
    table = manifest.table.assign(track=manifest.table["frame"])
    two = Manifest(table=table, root=manifest.root)
    ds = robustness(two, bright, grids={"jpeg": ["jpeg:30"]}, progress=silent)
    assert ds.sizes["clip"] == len(manifest)
    assert set(ds["track"].to_numpy()) == {0, 1}
    assert set(ds["crops"].to_numpy()) == {1}
    assert len(set(ds["component"].to_numpy())) == len(PEOPLE)


def test_noise_is_that_of_the_crop_whatever_else_is_in_the_manifest(
    manifest: Manifest, bright: Detector
) -> None:
    grids = {"noise": ["noise:0.2"]}
    whole = robustness(manifest, bright, grids=grids, progress=silent)
    part = manifest.where(manifest.table["video"].isin(["real-cem", "fake-cem"]))
    alone = robustness(part, bright, grids=grids, progress=silent)
    assert alone["video"].to_numpy().tolist() == ["real-cem", "fake-cem"]
    np.testing.assert_array_equal(alone["score"], whole["score"][:, 4:6])
    other = robustness(part, bright, grids=grids, seed=1, progress=silent)
    np.testing.assert_array_equal(other["score"][0], alone["score"][0])
    assert (other["score"][1] != alone["score"][1]).all()


def test_a_class_that_is_missing_gives_no_number(manifest: Manifest, bright: Detector) -> None:
    reals = manifest.where(manifest.table["label"] == 0)
    table = robustness_table(
        robustness(reals, bright, grids={"jpeg": ["jpeg:30"]}, progress=silent)
    )
    assert table[["auroc", "tpr", "shift_fake"]].isna().all(axis=None)
    assert table[["fpr", "shift_real"]].notna().all(axis=None)


def test_crops_that_are_degraded_already_are_left_out(manifest: Manifest, bright: Detector) -> None:
    table = manifest.table.copy()
    table.loc[table["video"].str.endswith("ann"), "degradation"] = "blur"
    ds = robustness(
        Manifest(table=table, root=manifest.root), bright, grids={"jpeg": ["jpeg:30"]},
        progress=silent,
    )  # fmt: skip
    assert "real-ann" not in ds["video"].to_numpy()
    assert ds.sizes["clip"] == 2 * (len(PEOPLE) - 1)


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"grids": {}}, InvalidArgument, "there is no grid; the paper's are jpeg, blur"),
        ({"grids": {"jpeg": []}}, InvalidArgument, "grid 'jpeg' is"),
        ({"grids": {"jpeg": "jpeg:60"}}, InvalidArgument, "give a list of chains"),
        ({"grids": {"jpeg": ["jpeg:0"]}}, InvalidArgument, "quality is 0"),
        ({"grids": {"jpeg": ["jpeg:40..60"]}}, InvalidArgument, "given exactly"),
        ({"max_fpr": 1.0}, InvalidArgument, "max_fpr is 1; give 0 or more and less than 1"),
        ({"max_fpr": float("nan")}, InvalidArgument, "max_fpr is nan"),
        ({"batch_size": 0}, InvalidArgument, "batch_size is 0"),
    ],
)
def test_impossible_arguments_are_refused(
    manifest: Manifest, bright: Detector, changes: dict[str, Any], error: type, said: str
) -> None:
    with pytest.raises(error, match=said):
        robustness(manifest, bright, progress=silent, **changes)


def test_crops_that_cannot_be_used_are_refused(manifest: Manifest, bright: Detector) -> None:
    table = manifest.table
    fakes = manifest.where(table["label"] == 1)
    with pytest.raises(InvalidLabels, match="without real crops no threshold can be fixed"):
        robustness(fakes, bright, grids={"jpeg": ["jpeg:30"]}, progress=silent)
    with pytest.raises(InvalidManifest, match="no face crop that is not degraded already"):
        robustness(manifest.where(table["label"] == 7), bright, progress=silent)
    unknown = Manifest(table=table.assign(label=-1), root=manifest.root)
    with pytest.raises(InvalidLabels, match="has no label"):
        robustness(unknown, bright, progress=silent)
    mixed = Manifest(table=table.assign(video="one"), root=manifest.root)
    with pytest.raises(InvalidLabels, match="'one' has crops labelled real and crops"):
        robustness(mixed, bright, grids={"jpeg": ["jpeg:30"]}, progress=silent)


def test_all_grids_are_scored_by_default(manifest: Manifest) -> None:
    one = manifest.where(manifest.table["target_identity"].isin(["ann", "bob"]))
    ds = gk.robustness(one, small_detector(small_backbone()), progress=silent)
    assert ds.sizes["setting"] == sum(len(grid) + 1 for grid in GRIDS.values())
    assert np.isfinite(ds["score"]).all()


def test_what_was_stopped_goes_on_to_the_same_numbers(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = small_detector(small_backbone())
    ask: dict[str, Any] = {"grids": {"own": ["jpeg:40", "noise:0.1"]}, "progress": silent}
    ask |= {"batch_size": 4, "keep": tmp_path / "kept"}
    whole = robustness(manifest, detector, **{**ask, "keep": None})
    predict, ran = Detector.predict, []

    def stopped(self: Detector, crops: Any, *, batch_size: int = 32) -> Any:
        ran.append(batch_size)
        if len(ran) == 3:
            raise KeyboardInterrupt
        return predict(self, crops, batch_size=batch_size)

    monkeypatch.setattr(Detector, "predict", stopped)
    with pytest.raises(KeyboardInterrupt):
        robustness(manifest, detector, **ask)
    found = robustness(manifest, detector, **ask)
    assert len(ran) == 3 + 4  # of the six parts of 24 crops two were kept
    assert found.identical(whole)
    assert robustness(manifest, detector, **ask).identical(whole)
    assert len(ran) == 7
    robustness(manifest, detector, **{**ask, "seed": 1})
    assert len(ran) == 13

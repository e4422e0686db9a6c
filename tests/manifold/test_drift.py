"""Drift: paths that are known, changes that do nothing, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

import gendkit as gk
from gendkit.data.codecs import jpeg
from gendkit.data.controls import blur
from gendkit.data.manifest import Manifest
from gendkit.errors import InvalidArgument, InvalidEmbeddings, InvalidManifest
from gendkit.manifold.drift import CHANGES, MEASURES
from gendkit.manifold.sphere import exp_map, geodesic
from gendkit.model.detector import Detector
from gendkit.progress import silent

DIM, PEOPLE, STEPS = 16, 9, 5


def walked(seed: int = 0, *, common: bool = True) -> xr.Dataset:
    """People who walk along great circles, .1 rad a level: towards one pole, or each their own."""
    rng = np.random.default_rng(seed)
    points, angles = [], 0.1 * np.arange(STEPS)
    for _ in range(PEOPLE):
        raw = np.eye(DIM)[0] + 0.02 * rng.normal(size=DIM)
        start = raw / np.linalg.norm(raw)
        towards = np.eye(DIM)[1] if common else rng.normal(size=DIM)
        way = towards - (towards @ start) * start
        points.append(exp_map(start, angles[:, None] * way / np.linalg.norm(way)))
    path = np.array(points, np.float32)
    flat = np.zeros((PEOPLE, STEPS), np.float32)
    return xr.Dataset(
        {
            "embedding": (("sample", "feature"), path[:, 0]),
            "drift_embedding": (("sample", "level", "feature"), path),
            "drift_angle": (("sample", "level"), geodesic(path[:, :1], path).astype(np.float32)),
            "drift_straightness": (("sample", "level"), flat + 1),
            "drift_score": (("sample", "level"), flat + np.linspace(0, 1, PEOPLE)[:, None]),
            "drift_logit": (("sample", "level"), flat),
            "label": ("sample", np.arange(PEOPLE) % 2),
        },
        coords={
            "sample": np.array([f"s{i}" for i in range(PEOPLE)], object),
            "level": np.array([math.inf, 90, 70, 50, 30]),
        },
        attrs={"drift_change": "jpeg"},
    )


@pytest.fixture
def drifted(manifest: Manifest, detector: Detector) -> xr.Dataset:
    return gk.drift(manifest, detector, change="blur", levels=[2, 0.5], progress=silent)


def test_a_path_begins_at_the_crop_and_is_what_the_changed_crops_give(
    drifted: xr.Dataset, manifest: Manifest, detector: Detector
) -> None:
    assert drifted["level"].to_numpy().tolist() == [0, 0.5, 2]
    assert drifted["level"].attrs["units"] == "sigma in px of the crop"
    assert drifted.attrs["drift_change"] == "blur"
    crops = [manifest.crop(i) for i in range(len(manifest))]
    for number, images in enumerate((crops, *([blur(c, s) for c in crops] for s in (0.5, 2)))):
        expected = detector.outputs(images)
        here = drifted.isel(level=number)
        np.testing.assert_allclose(here["drift_embedding"], expected.embedding, atol=1e-5)
        np.testing.assert_allclose(here["drift_score"], expected.score, atol=1e-5)
        logit = expected.logit[:, 1] - expected.logit[:, 0]
        np.testing.assert_allclose(here["drift_logit"], logit, atol=1e-5)
    first = drifted.isel(level=0)
    assert (first[["drift_angle", "drift_step", "drift_length"]].to_array() == 0).all()
    assert first["drift_straightness"].isnull().all()
    assert (first["drift_embedding"] == drifted["embedding"]).all()
    assert (first["drift_score"] == drifted["score"]).all()


def test_angles_steps_and_lengths_are_those_of_the_path(drifted: xr.Dataset) -> None:
    path = drifted["drift_embedding"].to_numpy()
    steps = [geodesic(path[:, i], path[:, i + 1]) for i in (0, 1)]
    np.testing.assert_allclose(drifted["drift_step"].to_numpy()[:, 1:], np.stack(steps, 1), 1e-5)
    np.testing.assert_allclose(drifted["drift_length"].to_numpy()[:, 2], sum(steps), 1e-5)
    ends = geodesic(path[:, 0], path[:, 2])
    np.testing.assert_allclose(drifted["drift_angle"].to_numpy()[:, 2], ends, 1e-5)
    assert ends.min() > 1e-3
    straight = drifted["drift_straightness"].to_numpy()
    np.testing.assert_allclose(straight[:, 2], ends / sum(steps), 1e-4)
    np.testing.assert_allclose(straight[:, 1], 1, 1e-5)
    assert (straight[:, 2] < 1).all()


def test_a_path_along_a_great_circle_has_straightness_1() -> None:
    from gendkit.manifold.drift import _path

    found = _path(walked()["drift_embedding"].to_numpy())
    np.testing.assert_allclose(found["straightness"][:, 1:], 1, atol=1e-5)
    np.testing.assert_allclose(found["length"][:, -1], 0.4, atol=1e-5)


def test_what_leaves_a_crop_as_it_is_moves_nothing_at_all(
    manifest: Manifest, detector: Detector
) -> None:
    """Crops of 40 px are not made smaller by leaving 40 or 100."""
    ds = gk.drift(manifest, detector, change="size", levels=[16, 40, 100], progress=silent)
    assert ds["level"].to_numpy().tolist() == [math.inf, 100, 40, 16]
    same = ds.isel(level=slice(0, 3))
    assert (same["drift_angle"] == 0).all()
    assert (same["drift_score"] == ds["score"]).all()
    assert (ds["drift_angle"].isel(level=3) > 1e-3).all()
    table = gk.drift_table(ds, resamples=5)
    assert table["consistency"].isna().groupby("level").all().sort_index().tolist() == [
        False, True, True, True,
    ]  # fmt: skip


def test_jpeg_is_that_of_the_crop_s_own_size(manifest: Manifest, detector: Detector) -> None:
    ds = gk.drift(manifest, detector, levels=[20], progress=silent)
    expected = detector.outputs([jpeg(manifest.crop(i), 20) for i in range(len(manifest))])
    np.testing.assert_allclose(ds["drift_score"].isel(level=1), expected.score, atol=1e-5)


def test_one_direction_is_found_and_many_are_not() -> None:
    one = gk.drift_table(walked(), by=(), resamples=200).loc[("all", "")]
    many = gk.drift_table(walked(common=False), by=(), resamples=200).loc[("all", "")]
    assert one.index.tolist() == [math.inf, 90, 70, 50, 30]
    np.testing.assert_allclose(one["angle"], 0.1 * np.arange(STEPS), atol=1e-5)
    assert (one["consistency"].iloc[1:] > 0.98).all()
    assert (one["null_high"].iloc[1:] < 0.7).all()
    moved = many.iloc[1:]
    assert (moved["consistency"].abs() < 0.15).all()
    assert (moved["null_low"] <= moved["consistency"]).all()
    assert (moved["consistency"] <= moved["null_high"]).all()


def test_groups_are_summarised_over_their_own_people() -> None:
    table = gk.drift_table(walked(), by=("label",), resamples=100)
    assert table.loc["label"]["crops"].unique().tolist() == [5, 4]
    scores = np.linspace(0, 1, PEOPLE)
    assert table.loc[("label", "0", 90), "score"] == pytest.approx(scores[::2].mean())
    assert table.loc[("all", "", 90), "score"] == pytest.approx(scores.mean())
    for name in MEASURES:
        row = table.loc[("label", "1", 50)]
        assert row[f"{name}_low"] <= row[name] <= row[f"{name}_high"]
    assert (
        table.loc[("all", "", 90), "score_low"]
        < 0.4
        < 0.6
        < table.loc[("all", "", 90), "score_high"]
    )


def test_a_seed_gives_one_table() -> None:
    one, same, other = (gk.drift_table(walked(), resamples=20, seed=s) for s in (0, 0, 1))
    assert one.equals(same)
    assert not one.equals(other)


def test_a_store_has_the_drift_that_was_written(
    drifted: xr.Dataset, reopened: Callable[[xr.Dataset], xr.Dataset]
) -> None:
    again = reopened(drifted)
    found = gk.drift_table(again, by=("label", "method"), resamples=5)
    assert found.equals(gk.drift_table(drifted, by=("label", "method"), resamples=5))
    assert again.gend.describe().loc["drift_angle", "unit"] == "rad"
    assert again.gend.validate() is again


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"change": "sepia"}, "no change is named 'sepia'; there is jpeg, blur, size"),
        ({"levels": []}, "there is no level of jpeg"),
        ({"levels": [90, 90]}, "given twice"),
        ({"levels": [90, 0]}, "whole numbers from 1 to 100, got 0"),
        ({"levels": [math.inf]}, "got inf; the crop as it is is always the first"),
        ({"levels": [88.5]}, "got 88.5"),
        ({"change": "blur", "levels": [0]}, "from 0.1 to 100, got 0"),
        ({"change": "blur", "levels": [math.nan]}, "got nan"),
        ({"change": "size", "levels": [4]}, "from 8 to 10000, got 4"),
    ],
)
def test_nonsense_is_refused(
    manifest: Manifest, detector: Detector, options: dict[str, object], words: str
) -> None:
    with pytest.raises(InvalidArgument, match=words):
        gk.drift(manifest, detector, **options)  # type: ignore[arg-type]


def test_what_is_no_drift_or_has_no_crop_is_refused(
    manifest: Manifest, detector: Detector, drifted: xr.Dataset
) -> None:
    with pytest.raises(InvalidEmbeddings, match="no level, drift_embedding"):
        gk.drift_table(gk.embed(manifest, detector, progress=silent))
    with pytest.raises(InvalidEmbeddings, match="no variable 'mood'"):
        gk.drift_table(drifted, by=["mood"])
    with pytest.raises(InvalidManifest, match="no face crop"):
        gk.drift(manifest.where(manifest.table["label"] == 9), detector)


def test_default_levels_go_from_mild_to_strong_within_their_range() -> None:
    for change in CHANGES.values():
        levels = [change.untouched, *change.levels]
        assert levels in (sorted(levels), sorted(levels, reverse=True))
        assert all(change.least <= level <= change.most for level in change.levels)

"""Steps from reals to their fakes: known steps are found, and nulls have none in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import gendkit as gk
from gendkit.data.controls import degrade
from gendkit.data.manifest import Manifest
from gendkit.errors import InvalidArgument, InvalidEmbeddings
from gendkit.manifold.displacement import NULLS
from gendkit.manifold.sphere import exp_map, geodesic, log_map
from gendkit.model.detector import Detector
from gendkit.progress import silent

DIM, PEOPLE, FRAMES, ANGLE = 24, 8, 3, 0.3


@pytest.fixture
def pairs() -> xr.Dataset:
    """Eight people; `push` moves all by .3 rad towards one pole, `noise` each its own way.

    `h264` moves reals by .05 rad, each its own way.
    """
    rng = np.random.default_rng(0)
    pole = np.eye(DIM)[0]
    rows = []
    for person in range(PEOPLE):
        centre = rng.normal(size=DIM) * (np.arange(DIM) > 0) * 0.3 + np.eye(DIM)[1]
        for frame in range(FRAMES):
            raw = centre + 0.02 * rng.normal(size=DIM)
            real = raw / np.linalg.norm(raw)

            def step(towards: np.ndarray, angle: float, x: np.ndarray = real) -> np.ndarray:
                way = log_map(x, towards / np.linalg.norm(towards))
                return exp_map(x, angle * way / np.linalg.norm(way))

            made = {
                ("", ""): real,
                ("push", ""): step(pole, ANGLE),
                ("noise", ""): step(rng.normal(size=DIM), ANGLE),
                ("", "h264"): step(rng.normal(size=DIM), 0.05),
            }
            for (family, degradation), point in made.items():
                rows.append((person, frame, family, degradation, point))
    columns = list(zip(*rows, strict=True))
    text = {
        "family": columns[2],
        "degradation": columns[3],
        "pair": [f"clip {p}" for p in columns[0]],
        "video": [f"clip {p}{f}" for p, f in zip(columns[0], columns[2], strict=True)],
        "target_identity": [f"person {p}" for p in columns[0]],
        "dataset": ["d"] * len(rows),
        "split": ["final"] * len(rows),
    }
    return xr.Dataset(
        {
            "embedding": (("sample", "feature"), np.array(columns[4], np.float32)),
            "label": ("sample", np.array([int(f != "") for f in columns[2]])),
            "frame": ("sample", np.array(columns[1])),
            "track": ("sample", np.zeros(len(rows), np.int64)),
            **{name: ("sample", np.array(v, object)) for name, v in text.items()},
        },
        coords={"sample": np.array([f"s{i}" for i in range(len(rows))], object)},
    )


def test_steps_that_were_made_are_found(pairs: xr.Dataset) -> None:
    table = gk.pair_displacement(pairs, resamples=200)
    assert table.index.tolist() == [
        ("noise", "fake"), ("noise", "shuffled pairs"),
        ("push", "fake"), ("push", "shuffled pairs"),
        ("", "neighbouring frame"), ("", "h264"),
    ]  # fmt: skip
    assert (table["people"] == PEOPLE).all()
    assert table["steps"].tolist() == [24, 24, 24, 24, 16, 24]
    for family in ("push", "noise"):
        assert table.loc[(family, "fake"), "length"] == pytest.approx(ANGLE, abs=1e-4)
    assert table.loc[("", "h264"), "length"] == pytest.approx(0.05, abs=1e-4)
    assert table.loc[("push", "fake"), "consistency"] > 0.9
    for row in (("noise", "fake"), ("", "h264"), ("", "neighbouring frame")):
        assert abs(table.loc[row, "consistency"]) < 0.15
        assert table.loc[row, "consistency_high"] < 0.5
    assert table.loc[("push", "shuffled pairs"), "length"] > 2 * ANGLE
    assert (table["length_low"] <= table["length"]).all()
    assert (table["length"] <= table["length_high"]).all()


def test_a_seed_gives_one_table(pairs: xr.Dataset) -> None:
    one, same, other = (gk.pair_displacement(pairs, resamples=20, seed=s) for s in (0, 0, 1))
    assert one.equals(same)
    assert not one.equals(other)


def test_frames_match_only_their_own(pairs: xr.Dataset) -> None:
    """Without the real of a frame there is no step from another."""
    keep = ~((pairs["label"] == 0) & (pairs["frame"] == 1) & (pairs["degradation"] == ""))
    table = gk.pair_displacement(pairs.isel(sample=keep), resamples=1)
    assert table.loc[("push", "fake"), "steps"] == PEOPLE * (FRAMES - 1)
    assert table.loc[("push", "fake"), "length"] == pytest.approx(ANGLE, abs=1e-4)


def test_one_person_alone_has_no_consistency_and_no_strangers(pairs: xr.Dataset) -> None:
    alone = pairs.isel(sample=pairs["target_identity"] == "person 3")
    table = gk.pair_displacement(alone, resamples=5)
    assert ("push", "shuffled pairs") not in table.index
    assert table["consistency"].isna().all()


def test_what_was_trained_on_or_has_no_pairs_is_refused(pairs: xr.Dataset) -> None:
    split = pairs["split"].to_numpy().copy()
    split[0] = "train"
    with pytest.raises(InvalidEmbeddings, match="of the split 'train'"):
        gk.pair_displacement(pairs.assign(split=("sample", split)))
    with pytest.raises(InvalidEmbeddings, match="no fake crop has a real one"):
        gk.pair_displacement(pairs.isel(sample=pairs["label"] == 0))
    with pytest.raises(InvalidEmbeddings, match="there is no pair, frame"):
        gk.pair_displacement(pairs.drop_vars(["pair", "frame"]))


def test_a_store_has_the_steps_of_what_was_written(
    pairs: xr.Dataset, reopened: Callable[[xr.Dataset], xr.Dataset]
) -> None:
    found = gk.pair_displacement(reopened(pairs), resamples=5)
    pd.testing.assert_frame_equal(found, gk.pair_displacement(pairs, resamples=5))


def test_a_manifest_with_its_detector_has_all_nulls(manifest: Manifest, detector: Detector) -> None:
    table = gk.pair_displacement(manifest, detector, resamples=20, progress=silent)
    assert table.index.tolist() == [
        ("grid", "fake"), ("grid", "shuffled pairs"), ("", "neighbouring frame"),
        ("", "jittered crop"), ("", "re-encoded real"),
    ]  # fmt: skip
    assert table["steps"].tolist() == [4, 4, 2, 4, 4]
    plain = gk.pair_displacement(gk.embed(manifest, detector, progress=silent), resamples=20)
    pd.testing.assert_frame_equal(table.iloc[:3], plain, atol=1e-5)
    assert (table["length"] > 1e-4).all()


def test_altered_reals_are_those_that_degrade_gives(manifest: Manifest, detector: Detector) -> None:
    reals = [int(r) for r in np.flatnonzero(manifest.labels() == 0)]
    found = gk.pair_displacement(manifest, detector, resamples=1, seed=7, progress=silent)
    for number, (kind, name) in enumerate(NULLS.items()):
        first = 7 + len(manifest) + number * len(reals)
        crops = [manifest.crop(row) for row in reals]
        altered = [degrade(c, name, seed=first + i) for i, c in enumerate(crops)]
        apart = geodesic(detector.embed(crops), detector.embed(altered))
        assert found.loc[("", kind), "length"] == pytest.approx(apart.mean(), abs=1e-5)


def test_a_manifest_needs_a_detector_and_embeddings_none(
    manifest: Manifest, detector: Detector, pairs: xr.Dataset
) -> None:
    with pytest.raises(InvalidArgument, match="a manifest holds no embeddings; give a detector"):
        gk.pair_displacement(manifest)
    with pytest.raises(InvalidArgument, match="embeddings are compared as they are"):
        gk.pair_displacement(pairs, detector)
    trained = manifest.table.assign(split="train")
    with pytest.raises(InvalidEmbeddings, match="of the split 'train'"):
        gk.pair_displacement(replace(manifest, table=trained), detector)

"""Labels that neighbours contradict, and duplicates: found where they were planted."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import gendkit as gk
from gendkit.errors import InvalidEmbeddings
from gendkit.manifold.suspects import medoids


@pytest.fixture
def ds() -> xr.Dataset:
    """Fifty people with a real and a fake clip of three frames each; classes lie apart."""
    rng = np.random.default_rng(0)
    rows, label, who, clip = [], [], [], []
    for person in range(50):
        place = rng.normal(size=10)
        for fake in (0, 1):
            base = place + 2.5 * (2 * fake - 1) * np.eye(10)[0]
            for _ in range(3):
                rows.append(base + 0.1 * rng.normal(size=10))
                label.append(fake)
                who.append(f"p{person}")
                clip.append(f"p{person}-{fake}")
    raw = np.array(rows)
    unit = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
    return xr.Dataset(
        {
            "embedding": (("sample", "feature"), unit),
            "label": ("sample", np.array(label)),
            "target_identity": ("sample", np.array(who, object)),
            "video": ("sample", np.array(clip, object)),
            "dataset": ("sample", np.array(["d"] * len(who), object)),
        },
        coords={"sample": np.array([f"s{i}" for i in range(len(who))], object)},
    )


def test_a_wrong_label_is_found_and_right_ones_are_not(ds: xr.Dataset) -> None:
    assert len(gk.label_issues(ds)) <= 2
    label = ds["label"].to_numpy().copy()
    clip = ds["video"].to_numpy()
    label[clip == "p7-1"] = 0
    label[clip == "p9-0"] = 1
    found = gk.label_issues(ds.assign(label=("sample", label)))
    assert {"p7-1", "p9-0"} <= set(found["video"].head(4))
    assert found["p"].is_monotonic_increasing
    assert (found["p"] >= found["vote_p"] - 1e-7).all()


def test_labels_without_a_pattern_give_no_candidates(ds: xr.Dataset) -> None:
    """Labels drawn anew for each clip: what is found is chance, and corrected for."""
    rng = np.random.default_rng(1)
    clips = {c: int(rng.integers(2)) for c in sorted(set(ds["video"].to_numpy()))}
    shuffled = ds.assign(label=("sample", [clips[c] for c in ds["video"].to_numpy()]))
    assert len(gk.label_issues(shuffled)) <= 2


def test_unknown_labels_are_not_asked_about(ds: xr.Dataset) -> None:
    unknown = ds.assign(label=("sample", np.full(ds.sizes["sample"], -1)))
    assert len(gk.label_issues(unknown, ds)) == 0
    with pytest.raises(InvalidEmbeddings, match="no labels"):
        gk.label_issues(ds.drop_vars("label"))


def test_a_planted_duplicate_is_found_and_frames_of_a_clip_are_none(ds: xr.Dataset) -> None:
    embedding = ds["embedding"].to_numpy().copy()
    nudge = embedding[30] + 0.001 * np.random.default_rng(2).normal(size=10)
    embedding[200] = nudge / np.linalg.norm(nudge)
    planted = ds.assign(embedding=(("sample", "feature"), embedding.astype(np.float32)))
    found = gk.duplicates(planted)
    assert found.index[0] == ("s30", "s200")
    assert found["angle"].iloc[0] < 0.01
    assert found["rank"].iloc[0] == 0
    assert found["same_label"].iloc[0] == (
        ds["label"].to_numpy()[30] == ds["label"].to_numpy()[200]
    )
    own = dict(zip(ds["sample"].to_numpy(), ds["target_identity"].to_numpy(), strict=True))
    assert all(own[a] != own[b] for a, b in found.index)
    assert len(gk.duplicates(planted, angle=0.01)) == 1


def test_without_frames_to_learn_from_an_angle_is_asked_for(ds: xr.Dataset) -> None:
    alone = ds.isel(sample=slice(0, None, 3))
    with pytest.raises(InvalidEmbeddings, match="give angle="):
        gk.duplicates(alone)
    assert len(gk.duplicates(alone, angle=1e-6)) == 0


def test_the_medoid_is_nearest_to_the_mean_direction(ds: xr.Dataset) -> None:
    rows = medoids(ds)
    assert len(rows) == 100
    points = ds["embedding"].to_numpy()
    mean = points[3:6].sum(axis=0)
    assert rows[1] == 3 + int((points[3:6] @ mean).argmax())


@pytest.mark.parametrize("first", [True, False])
def test_a_long_clip_does_not_hide_its_duplicate(first: bool) -> None:
    """All hundred frames are near to the copy, whichever comes first in the store."""
    rng = np.random.default_rng(3)
    base = rng.normal(size=10)
    raw = base + 0.01 * rng.normal(size=(101, 10))
    unit = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
    clip = ["long"] * 100 + ["copy"]
    order = np.arange(101) if first else np.arange(101)[::-1]
    ds = xr.Dataset(
        {
            "embedding": (("sample", "feature"), unit[order]),
            "video": ("sample", np.array(clip, object)[order]),
        },
        coords={"sample": np.array([f"s{i}" for i in order], object)},
    )
    found = gk.duplicates(ds, angle=0.1)
    assert len(found) == 100
    assert all("s100" in pair for pair in found.index)

"""Novelty: valid under exchangeability, blind to how many frames a clip has, honest about few."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

import gendkit as gk
from gendkit.errors import InvalidEmbeddings
from gendkit.manifold.novelty import UNLIKE, _holm, calibrate, clip_angles, is_novel

from .conftest import Points


def crowd(rng: np.random.Generator, people: int, *, name: str, shift: float = 0.0) -> xr.Dataset:
    """One clip of one to four frames a person, around a place of the person's own."""
    rows, who, clips = [], [], []
    for person in range(people):
        place = rng.normal(size=6) + (3 + shift) * np.eye(6)[0]
        for _ in range(rng.integers(1, 5)):
            rows.append(place + 0.05 * rng.normal(size=6))
            who.append(f"{name}{person}")
            clips.append(f"{name}{person}")
    raw = np.array(rows)
    unit = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
    return xr.Dataset(
        {
            "embedding": (("sample", "feature"), unit),
            "target_identity": ("sample", np.array(who, object)),
            "video": ("sample", np.array(clips, object)),
            "dataset": ("sample", np.array(["d"] * len(who), object)),
        },
        coords={"sample": np.array([f"{name}{i}" for i in range(len(who))], object)},
    )


def first_of(ds: xr.Dataset, name: str) -> np.ndarray:
    """The p-value of the first crop of each value."""
    _, first = np.unique(ds[name].to_numpy().astype(str), return_index=True)
    return ds["novelty_p"].to_numpy()[first]


def test_clips_like_the_reference_are_called_novel_no_more_often_than_alpha_says() -> None:
    """P(p <= a) <= a for new people from the same place, over many draws of reference and clip."""
    hits, asked = 0, 0
    for draw in range(60):
        rng = np.random.default_rng(draw)
        reference = crowd(rng, 60, name="r")
        queries = crowd(rng, 20, name="q")
        found = gk.novelty(queries, reference, k=3, alpha=0.1)
        p = first_of(found, "video")
        hits += int((p <= 0.1).sum())
        asked += len(p)
    assert asked == 1200
    # 120 are expected at most; the draws of one reference hang together, so allow for that.
    assert 70 <= hits <= 165


def test_a_clip_from_elsewhere_gets_the_least_p_and_is_novel() -> None:
    rng = np.random.default_rng(0)
    reference = crowd(rng, 60, name="r")
    far = crowd(rng, 3, name="q", shift=-9.0)
    found = gk.novelty(far, reference, k=3)
    assert found["novelty_p"].attrs["calibration"] == 30
    np.testing.assert_allclose(found["novelty_p"], 1 / 31, rtol=1e-6)
    assert is_novel(found).all()
    assert found["novelty_p"].attrs["words"] == UNLIKE
    assert not is_novel(far).any()


def test_frames_of_a_clip_do_not_count_as_clips() -> None:
    rng = np.random.default_rng(1)
    reference = crowd(rng, 40, name="r")
    query = crowd(rng, 1, name="q").isel(sample=[0])
    many = xr.concat([query] * 30, dim="sample").assign_coords(
        sample=np.array([f"q{i}" for i in range(30)], object)
    )
    one = gk.novelty(query, reference, k=3)["novelty_p"].to_numpy()
    more = gk.novelty(many, reference, k=3)["novelty_p"].to_numpy()
    np.testing.assert_array_equal(more, np.full(30, one[0]))


def test_distances_are_those_of_brute_force() -> None:
    rng = np.random.default_rng(2)
    reference, queries = crowd(rng, 12, name="r"), crowd(rng, 5, name="q")
    found = calibrate(reference, k=4, seed=0)
    angle, track = clip_angles(queries, reference, found.searched, k=4)
    points = reference["embedding"].to_numpy()[found.searched]
    people = reference["target_identity"].to_numpy()[found.searched]
    for i in range(5):
        each = []
        for vector in queries["embedding"].to_numpy()[track == i]:
            away = np.arccos(np.clip(points @ vector, -1, 1))
            each.append(sorted(away[people == who].min() for who in set(people))[3])
        assert angle[i] == pytest.approx(np.median(each), abs=1e-4)


def test_people_of_the_reference_are_not_searched_and_usual_at_once() -> None:
    reference = crowd(np.random.default_rng(3), 21, name="r")
    found = calibrate(reference, k=2, seed=0)
    searched = set(reference["target_identity"].to_numpy()[found.searched])
    assert len(searched) == 11
    assert len(found.usual) == 10
    assert found.least == 1 / 11
    other = calibrate(reference, k=2, seed=1)
    assert set(reference["target_identity"].to_numpy()[other.searched]) != searched


def test_a_clip_of_the_reference_does_not_find_itself(points: Points) -> None:
    """Else a store asked about itself would have nothing novel in it."""
    reference = crowd(np.random.default_rng(4), 30, name="r")
    found = gk.novelty(reference, k=1)
    assert (found["novelty"].to_numpy() > 0.05).all()


def test_tracks_of_a_clip_are_asked_apart_and_corrected() -> None:
    rng = np.random.default_rng(5)
    reference = crowd(rng, 80, name="r")
    near, far = crowd(rng, 1, name="q"), crowd(rng, 1, name="q", shift=-9.0)
    both = xr.concat([near, far], dim="sample").assign(
        track=("sample", np.repeat([0, 1], [near.sizes["sample"], far.sizes["sample"]]))
    )
    both = both.assign_coords(
        sample=np.array([f"b{i}" for i in range(both.sizes["sample"])], object)
    )
    p = first_of(gk.novelty(both, reference, k=3), "track")
    assert p[1] == pytest.approx(2 / 41)
    assert p[0] > p[1]


def test_holm_is_that_of_the_textbook() -> None:
    p = np.array([0.01, 0.04, 0.03, 0.2, np.nan])
    expected = [0.03, 0.06, 0.06, 0.2, np.nan]
    np.testing.assert_allclose(_holm(p, np.array([0, 0, 0, 1, 0])), expected)


def test_few_people_are_refused_and_few_clips_say_that_nothing_can_be_novel() -> None:
    rng = np.random.default_rng(6)
    reference = crowd(rng, 3, name="r")
    with pytest.raises(InvalidEmbeddings, match="shows 3 people"):
        gk.novelty(reference)
    found = gk.novelty(crowd(rng, 1, name="q", shift=-9.0), crowd(rng, 8, name="r"))
    assert found["novelty_p"].attrs["least_p"] == pytest.approx(0.2)
    assert not is_novel(found).any()


def test_nonsense_is_refused() -> None:
    reference = crowd(np.random.default_rng(7), 10, name="r")
    with pytest.raises(InvalidEmbeddings, match="k must be at least 1"):
        gk.novelty(reference, k=0)
    with pytest.raises(InvalidEmbeddings, match="alpha is between 0 and 1"):
        gk.novelty(reference, alpha=1.5)
    with pytest.raises(InvalidEmbeddings, match="length"):
        gk.novelty(reference.isel(feature=slice(0, 3)), reference)


def test_it_works_on_a_reopened_store(reopened: Callable[[xr.Dataset], xr.Dataset]) -> None:
    reference = crowd(np.random.default_rng(8), 20, name="r")
    expected = gk.novelty(reference, k=2)
    found = gk.novelty(reopened(reference), k=2)
    np.testing.assert_array_equal(found["novelty_p"], expected["novelty_p"])
    np.testing.assert_array_equal(is_novel(reopened(expected)), is_novel(expected))


def test_a_store_asked_about_itself_is_right_in_both_halves() -> None:
    """Each half is asked about among the other; with its own, the searched half loses one."""
    hits = asked = 0
    for draw in range(40):
        found = gk.novelty(crowd(np.random.default_rng(1000 + draw), 24, name="r"), k=5, alpha=0.1)
        p = first_of(found, "video")
        hits += int((p <= 0.1).sum())
        asked += len(p)
    assert asked == 960
    assert hits <= 120


def test_a_p_value_of_exactly_alpha_is_novel() -> None:
    rng = np.random.default_rng(9)
    reference = crowd(rng, 38, name="r")
    found = gk.novelty(crowd(rng, 1, name="q", shift=-9.0), reference, k=2)
    assert found["novelty_p"].attrs["calibration"] == 19
    assert is_novel(found).all()

"""The families that are fitted, as the datasets render them."""

from __future__ import annotations

import pickle
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

import gendkit.builtin.fitted
from gendkit.builtin.datasets import SyntheticFaces
from gendkit.data.forge import FAMILIES, Subject, family_named
from gendkit.data.forge.weights import Weights
from gendkit.data.splits import SPLITS, rendered_families, split_of_identity

FITTED = ("autoencoder", "swap-restorer", "diffusion")
FEW = {"identities": 20, "clips": 2, "size": 128}


@pytest.fixture
def fits(monkeypatch) -> dict[tuple[str, ...], list[str]]:
    """Which families were fitted on whom; nothing is really fitted."""
    seen: dict[tuple[str, ...], list[str]] = {}

    def spied(name):
        family = family_named(name)

        def fit(people, *, seed):
            seen.setdefault(tuple(people), []).append(name)
            assert all(isinstance(source(), Subject) for of in people.values() for source in of)
            return lambda donor: Weights(arrays=((f"{name}/{donor}", (), b""),))

        return family if family.fit is None else replace(family, fit=fit)

    monkeypatch.setattr(gendkit.builtin.fitted, "family_named", spied)
    return seen


def test_families_are_fitted_on_people_of_one_split_alone(fits):
    for split in SPLITS:
        fits.clear()
        clips = list(SyntheticFaces(**FEW, splits=split, families="all").clips())
        people = {clip.target_identity for clip in clips}
        assert {split_of_identity("synthetic", name) for of in fits for name in of} == {split}
        for of, families in fits.items():
            everyone = "autoencoder" in families
            assert set(of) == people if everyone else of == tuple(of)[:16] and set(of) <= people
        fitted = {f.name for f in FAMILIES if f.fit is not None}
        expected = fitted & set(rendered_families(split, "all"))
        assert {name for families in fits.values() for name in families} == expected


def test_a_clip_carries_what_was_fitted_for_its_donor(fits):
    for clip in SyntheticFaces(**FEW, families="all").clips():
        tool = clip.media.tool
        if clip.family in FITTED:
            assert tool.arrays[0][0].startswith(f"{clip.family}/")
        if clip.family in ("autoencoder", "swap-restorer"):
            assert tool.arrays[0][0] == f"{clip.family}/{clip.donor_identity}"
            assert split_of_identity("synthetic", clip.donor_identity) == clip.split


def test_by_default_the_clips_are_those_of_the_quick_families(fits):
    plain = [(c.video, c.media.plan) for c in SyntheticFaces(**FEW).clips()]
    quick = [(c.video, c.media.plan) for c in SyntheticFaces(**FEW, families="quick").clips()]
    every = [(c.video, c.media.plan) for c in SyntheticFaces(**FEW, families="all").clips()]
    assert plain == quick
    assert {c for c in quick if c[0].count("/") == 2} < set(every)
    assert not any(set(FITTED) & set(video.split("/")) for video, _ in plain)


def test_a_split_without_the_families_asked_for_has_real_clips(fits):
    clips = list(SyntheticFaces(**FEW, families="diffusion").clips())
    assert {c.family for c in clips if c.split != "final"} == {""}
    assert {c.family for c in clips if c.split == "final"} == {"", "diffusion"}


def test_a_film_and_a_picture_of_one_pair_never_mix():
    clips = list(SyntheticFaces(**FEW, motion=0.33).clips())
    moving = {clip.pair: clip.media.moving for clip in clips}
    assert all(clip.media.moving == moving[clip.pair] for clip in clips)
    assert 0.15 < np.mean(list(moving.values())) < 0.6
    again = SyntheticFaces(**FEW, motion=0.33, splits="final").clips()
    assert all(clip.media.moving == moving[clip.pair] for clip in again)
    other = SyntheticFaces(**FEW, motion=0.33, seed=1).clips()
    assert any(clip.media.moving != moving[clip.pair] for clip in other)
    assert not any(c.media.moving for c in SyntheticFaces(**FEW).clips())
    assert all(c.media.moving for c in SyntheticFaces(**FEW, motion=1).clips())


def test_films_of_a_pair_move_alike_and_differ_in_the_face(tmp_path):
    from gendkit.data.media import count_frames, read_frames

    clips = SyntheticFaces(identities=4, clips=1, size=128, motion=1.0, splits="train").clips()
    pair = [clip for clip in clips if clip.target_identity == "2"]
    films = [list(pickle.loads(pickle.dumps(clip)).media()) for clip in pair]
    assert [clip.family for clip in pair] == ["", "self-blend", "landmark-swap"]
    for film in films[1:]:
        for real, fake in list(zip(films[0], film, strict=True))[::7]:
            assert (real.index, real.time) == (fake.index, fake.time)
            np.testing.assert_array_equal(real.landmarks, fake.landmarks)
            change = np.abs(real.image.astype(int) - fake.image).mean(-1)
            x, y = real.landmarks.mean(0).astype(int)
            assert change[y - 15 : y + 15, x - 15 : x + 15].mean() > 1
            assert change[:6].mean() < 2.5
    path = tmp_path / "film.mp4"
    path.write_bytes(pair[1].media.encoded())
    assert count_frames(path) == 50
    for frame in read_frames(path, [0, 20, 49]):
        np.testing.assert_array_equal(frame.image, films[1][frame.index].image)
        assert frame.time == pytest.approx(frame.index / 25)


def test_frames_of_films_make_crops_with_times(tmp_path):
    from gendkit.data.extract import extract

    clips = SyntheticFaces(identities=3, clips=1, size=128, motion=1.0, splits="train").clips()
    table = extract(list(clips)[:2], tmp_path / "crops", frames=3, workers=1).table
    assert sorted(table["frame"].unique()) == sorted(table["frame"][:3])
    assert len(table) == 6
    assert set(table["reason"]) == {""}
    assert table["time"].max() > 0


@pytest.mark.slow
def test_trivial_probes_find_nothing_in_families_that_are_fitted(tmp_path, monkeypatch):
    """As for the quick families, on fewer faces and networks that were fitted for a moment.

    Of 64 pairs chance alone goes some way beyond the limit for a family that is fit for use.
    """
    from gendkit.data.faces import align_face
    from gendkit.measure.probes import LIMIT, trivial_probes

    def briefly(name):
        family = family_named(name)
        return replace(family, fit=partial(family.fit, steps=100))

    monkeypatch.setenv("GENDKIT_CACHE", str(tmp_path))
    monkeypatch.setattr(gendkit.builtin.fitted, "family_named", briefly)
    monkeypatch.setattr("gendkit.builtin.datasets.rendered_families", lambda *_: FITTED)
    faces = SyntheticFaces(identities=32, clips=4, size=192, splits="train", controls=False)
    clips = list(faces.clips())
    frames = [next(iter(clip.media())) for clip in clips]
    results = trivial_probes(
        [align_face(frame.image, frame.landmarks) for frame in frames],
        [clip.label for clip in clips],
        [clip.family for clip in clips],
        [clip.target_identity for clip in clips],
        bootstraps=2,
    )
    assert {r.family for r in results} == set(FITTED)
    assert [(r.family, r.probe, r.auroc) for r in results if r.auroc > LIMIT + 0.05] == []

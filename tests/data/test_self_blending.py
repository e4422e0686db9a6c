"""Numbers are those of mapooon/SelfBlendedImages, src/utils/sbi.py and blend.py."""

from __future__ import annotations

import numpy as np
import pytest

from gendkit.data.drawn import draw_face
from gendkit.data.forge import Subject
from gendkit.data.forge.geometry import OVAL, eye_distance, face_points
from gendkit.data.forge.self_blending import RATIOS, self_blended


@pytest.fixture(scope="module")
def face() -> Subject:
    drawn = draw_face(identity=4, clip=0)
    return Subject(image=drawn.image, landmarks=drawn.landmarks)


@pytest.fixture(scope="module")
def pairs(face) -> list[tuple[Subject, Subject]]:
    return [self_blended(face, seed=seed) for seed in range(24)]


def test_the_same_seed_gives_the_same_pair(face, pairs):
    again = self_blended(face, seed=3)
    assert (again[0].image == pairs[3][0].image).all()
    assert (again[1].image == pairs[3][1].image).all()
    assert (pairs[3][1].image != pairs[4][1].image).any()


def test_either_the_source_or_the_target_is_changed(face, pairs):
    kept = [bool((real.image == face.image).all()) for real, _ in pairs]
    assert 4 <= sum(kept) <= 20


def test_real_and_fake_differ_in_the_face_alone(face, pairs):
    points = face_points(face.landmarks)[list(OVAL)]
    room = 0.35 * eye_distance(face.landmarks)
    (left, top), (right, bottom) = points.min(0) - room, points.max(0) + room
    outside = np.ones(face.image.shape[:2], bool)
    outside[int(top) : int(bottom) + 1, int(left) : int(right) + 1] = False
    for real, fake in pairs:
        change = np.abs(fake.image.astype(int) - real.image).max(-1)
        assert not change[outside].any()
        assert (change > 0).sum() > 2000
        np.testing.assert_array_equal(fake.landmarks, face.landmarks)


def test_changes_are_as_large_as_those_of_the_paper(pairs):
    change = [np.abs(f.image.astype(float) - r.image).max(-1) for r, f in pairs]
    inside = [values[values > 0].mean() for values in change]
    assert 4 < np.median(inside) < 40
    assert min(inside) > 1


def test_half_of_the_blends_show_the_source_whole():
    assert sorted(RATIOS) == [0.25, 0.5, 0.75, 1, 1, 1]


def test_a_face_at_the_edge_is_blended(face):
    cut = Subject(image=face.image[60:, 70:].copy(), landmarks=face.landmarks - [70, 60])
    for seed in range(6):
        real, fake = self_blended(cut, seed=seed)
        assert real.image.shape == fake.image.shape == cut.image.shape
        assert (real.image != fake.image).any()

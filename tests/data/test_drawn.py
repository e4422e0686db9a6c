from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gendkit.data.canvas import natural_noise
from gendkit.data.drawn import Person, draw_face
from gendkit.data.forge.geometry import LANDMARKS, eye_distance


def test_a_drawn_face_is_an_rgb_picture_with_five_landmarks_inside():
    face = draw_face(identity=3, clip=1, size=192)
    assert face.image.shape == (192, 192, 3)
    assert face.image.dtype == np.uint8
    assert face.landmarks.shape == (5, 2)
    assert face.landmarks.dtype == np.float32
    assert (face.landmarks > 0).all()
    assert (face.landmarks < 192).all()


def test_the_same_numbers_draw_the_same_bytes():
    first = draw_face(identity=5, clip=2, size=128, seed=9)
    second = draw_face(identity=5, clip=2, size=128, seed=9)
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.landmarks, second.landmarks)


@pytest.mark.parametrize("change", [{"identity": 6}, {"clip": 3}, {"seed": 10}])
def test_another_identity_clip_or_seed_draws_another_picture(change: dict[str, int]):
    numbers = {"identity": 5, "clip": 2, "seed": 9}
    first = draw_face(**numbers, size=128).image.astype(int)
    second = draw_face(**{**numbers, **change}, size=128).image.astype(int)
    assert np.abs(first - second).mean() > 5


def test_a_person_does_not_depend_on_the_clip_and_people_differ():
    assert Person.draw(4) == Person.draw(4)
    assert len({Person.draw(i).skin for i in range(30)}) == 30
    assert len({Person.draw(i).face_width for i in range(30)}) == 30


def test_landmarks_are_in_the_order_of_the_template():
    for identity in range(12):
        points = draw_face(identity=identity, clip=0, size=96).landmarks
        left, right, nose, corner, other = points
        assert left[0] < right[0]
        assert corner[0] < other[0]
        assert max(left[1], right[1]) < nose[1] < min(corner[1], other[1])


def test_drawn_landmarks_have_the_proportions_of_the_alignment_template():
    errors = []
    for identity in range(20):
        points = draw_face(identity=identity, clip=1, size=96).landmarks.astype(float)
        unit = eye_distance(points.astype(np.float32)) / 0.32
        errors.append(np.ptp(points[:, 1]) / unit - np.ptp(LANDMARKS[:, 1]))
    assert abs(np.mean(errors)) < 0.06


def test_the_eyes_are_where_the_landmarks_say():
    darker = []
    for identity in range(20):
        face = draw_face(identity=identity, clip=0)
        x, y = face.landmarks[:2].mean(0).round().astype(int)
        between = face.image[y - 3 : y + 4, x - 3 : x + 4].mean()
        for x, y in face.landmarks[:2].round().astype(int):
            darker.append(face.image[y - 3 : y + 4, x - 3 : x + 4].mean() < between)
    assert np.mean(darker) > 0.85


def test_a_picture_has_sensor_noise_even_where_nothing_is_drawn():
    corner = draw_face(identity=2, clip=0).image[:24, :24].astype(float)
    assert np.abs(np.diff(corner, axis=0)).mean() > 0.4


def test_the_spectrum_of_natural_noise_falls_as_asked():
    noise = natural_noise((256, 256), np.random.default_rng(0), exponent=1.0)
    amplitude = np.abs(np.fft.fft2(noise))[0, 1:100]
    slope = np.polyfit(np.log(np.arange(1, 100)), np.log(amplitude), 1)[0]
    assert slope == pytest.approx(-1, abs=0.2)
    assert noise.std() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("wrong", [{"size": 32}, {"identity": -1}, {"clip": -1}, {"seed": -1}])
def test_impossible_numbers_are_refused(wrong: dict[str, int]):
    with pytest.raises(ValueError, match="a face is drawn from 64 px on"):
        draw_face(**{"identity": 0, "clip": 0, **wrong})


def test_the_built_in_detector_finds_most_drawn_faces(asset: Callable[[str], Path]):
    from gendkit.builtin.centerface import CenterFace

    detect = CenterFace(asset("centerface"))
    errors = []
    for identity in range(8):
        face = draw_face(identity=identity, clip=identity)
        for found in detect(face.image)[:1]:
            distance = np.linalg.norm(found.landmarks - face.landmarks, axis=1).mean()
            errors.append(distance / eye_distance(face.landmarks))
    assert len(errors) >= 7
    assert np.median(errors) < 0.15

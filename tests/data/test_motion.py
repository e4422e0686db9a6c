from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from gendkit.data.drawn import draw_face
from gendkit.data.forge import Plan, Subject
from gendkit.data.forge.motion import FRAMES, RATE, decode, encode, even, filmed


@pytest.fixture(scope="module")
def photo() -> Subject:
    face = draw_face(identity=2, clip=0, size=160)
    return Subject(image=face.image, landmarks=face.landmarks)


@pytest.fixture(scope="module")
def film(photo) -> list[Subject]:
    return list(filmed(photo, Plan.draw(5)))


def test_a_film_has_two_seconds_of_pictures_that_move_smoothly(film):
    assert len(film) == FRAMES == 2 * RATE
    course = np.stack([subject.landmarks.mean(0) for subject in film])
    steps = np.linalg.norm(np.diff(course, axis=0), axis=1)
    assert 0.5 < np.linalg.norm(np.ptp(course, axis=0)) < 20
    assert steps.max() < 1.5
    turns = np.linalg.norm(np.diff(course, n=2, axis=0), axis=1)
    assert turns.max() < 0.3


def test_the_landmarks_move_with_the_picture():
    image = np.zeros((200, 200, 3), np.uint8)
    landmarks = np.array([(70, 80), (130, 80), (100, 110), (80, 140), (120, 140)], np.float32)
    for x, y in landmarks.astype(int):
        cv2.circle(image, (x, y), 4, (255, 255, 255), -1)
    for moved in list(filmed(Subject(image=image, landmarks=landmarks), Plan.draw(1)))[::7]:
        for x, y in moved.landmarks.round().astype(int):
            assert moved.image[y, x].min() > 150


def test_each_picture_has_noise_of_its_own_that_the_plan_fixes(photo, film):
    again = list(filmed(photo, Plan.draw(5)))
    assert all((a.image == b.image).all() for a, b in zip(film, again, strict=True))
    grey = np.full((160, 160, 3), 128, np.uint8)
    still = list(filmed(replace(photo, image=grey), replace(Plan.draw(5), gain=1.0)))[:3]
    noise = [subject.image.astype(float) - 128 for subject in still]
    assert 0.7 < noise[0].std() < 2.5
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.05


def test_a_film_is_decoded_with_numbers_and_times(film):
    frames = list(decode(encode((subject.image for subject in film), crf=18)))
    assert [frame.index for frame in frames] == list(range(FRAMES))
    assert [frame.time for frame in frames] == pytest.approx([n / RATE for n in range(FRAMES)])
    for frame, subject in list(zip(frames, film, strict=True))[::10]:
        assert frame.image.shape == subject.image.shape
        assert np.abs(frame.image.astype(int) - subject.image).mean() < 4


def test_a_higher_rate_factor_gives_a_smaller_and_worse_film(film):
    images = [subject.image for subject in film[:10]]
    fine, coarse = (encode(images, crf=crf) for crf in (16, 34))
    assert len(coarse) < 0.7 * len(fine)
    worse = [
        np.abs(next(iter(decode(done))).image.astype(int) - images[0]).mean()
        for done in (fine, coarse)
    ]
    assert worse[0] < worse[1]


def test_the_same_pictures_give_the_same_film(film):
    images = [even(subject).image[:102, :102] for subject in film]
    assert len({encode(images, crf=20) for _ in range(4)}) == 1


def test_pictures_are_made_even(photo):
    odd = replace(photo, image=photo.image[:159, :157])
    assert even(odd).image.shape == (158, 156, 3)
    assert even(photo).image.shape == photo.image.shape

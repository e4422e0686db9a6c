"""Forgeries whose generator is a small fitted network."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from gendkit.data.drawn import draw_face
from gendkit.data.forge import MASKS, Plan, Subject, family_named, forge
from gendkit.data.forge.aligned import put_back, window_of
from gendkit.data.forge.diffusion import PARTS
from gendkit.data.forge.fitting import one_thread
from gendkit.data.forge.weights import FOLDER, Weights, kept

FITTED = ("autoencoder", "swap-restorer", "diffusion")


def subject(identity: int, clip: int = 0) -> Subject:
    face = draw_face(identity=identity, clip=clip)
    return Subject(image=face.image, landmarks=face.landmarks)


def sources(*identities: int) -> dict[str, list]:
    return {str(i): [lambda i=i: subject(i)] for i in identities}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("GENDKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / FOLDER


@pytest.mark.parametrize("name", FITTED)
def test_fitting_again_gives_the_same_weights_with_any_number_of_threads(name, cache):
    fit = family_named(name).fit
    before = torch.get_num_threads()
    state = torch.random.get_rng_state()
    try:
        found = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(fit(sources(2, 8), seed=1, steps=3)("8"))
            assert torch.get_num_threads() == threads
            (file,) = cache.iterdir()
            file.unlink()
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1]
    assert hash(found[0]) == hash(pickle.loads(pickle.dumps(found[1])))
    assert fit(sources(2, 8), seed=2, steps=3)("8") != found[0]
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("name", FITTED)
def test_a_clip_carries_less_than_a_megabyte_however_many_people_there_are(name):
    tools = family_named(name).fit(sources(0, 2, 4, 6, 8), seed=0, steps=1)
    assert len(pickle.dumps(tools("4"))) < 1e6


def test_each_donor_has_a_decoder_and_all_have_one_encoder():
    tools = family_named("autoencoder").fit(sources(2, 8), seed=0, steps=2)
    first, second = ({a[0]: a for a in tools(name).arrays} for name in ("2", "8"))
    shared = set(first) & set(second)
    assert all(first[name] == second[name] for name in shared)
    assert set(first) - shared == {"own.0.w", "own.0.b"}
    assert set(second) - shared == {"own.1.w", "own.1.b"}


def test_weights_are_fitted_once_and_again_if_pictures_differ_or_the_file_is_broken(cache):
    calls = []

    def fit() -> Weights:
        calls.append(1)
        return Weights.pack({"a": torch.arange(6.0).reshape(2, 3), "b": torch.zeros(())})

    pictures = np.zeros((2, 4, 4, 3), np.float32)
    first = kept("x", [pictures, 0], fit)
    assert kept("x", [pictures, 0], fit) == first
    assert len(calls) == 1
    for other in ([pictures + 1, 0], [pictures, 1], [pictures.reshape(4, 2, 4, 3), 0]):
        kept("x", other, fit)
    assert len(calls) == 4
    for file in cache.iterdir():
        file.write_bytes(file.read_bytes()[:100])
    assert kept("x", [pictures, 0], fit) == first
    assert len(calls) == 5
    assert first.tensors()["a"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_a_cache_that_cannot_be_written_is_said_and_is_no_error(cache, caplog):
    cache.parent.mkdir()
    cache.write_text("a file")
    weights = Weights.pack({"a": torch.ones(2)})
    assert kept("x", [0], lambda: weights) == weights
    assert "cannot be kept" in caplog.text


def test_one_thread_is_given_back_after_an_error():
    before = torch.get_num_threads()

    def fail() -> None:
        with one_thread():
            raise ArithmeticError(torch.get_num_threads())

    with pytest.raises(ArithmeticError, match=r"^1$"):
        fail()
    assert torch.get_num_threads() == before


def test_a_window_goes_back_to_where_it_came_from():
    face = subject(4)
    smooth = cv2.GaussianBlur(face.image, (0, 0), 4).astype(np.float32)
    window = window_of(smooth, face.landmarks, size=64)
    again = put_back(window, face.landmarks, smooth.shape)
    x, y = face.landmarks.mean(0).astype(int)
    near = np.s_[y - 40 : y + 40, x - 40 : x + 40]
    assert np.abs(again - smooth)[near].mean() < 1.5
    shifted = window_of(np.roll(smooth, 5, axis=1), face.landmarks + np.float32([5, 0]), size=64)
    assert np.abs(shifted - window)[10:-10, 10:-10].mean() < 0.5


def test_a_diffusion_edit_acts_in_a_part_of_the_face_that_the_mask_covers():
    tool = family_named("diffusion").fit(sources(2), seed=0, steps=1)("")
    target = subject(2)
    for mask in MASKS:
        touched = set()
        for seed in range(8):
            plan = replace(Plan.draw(seed), mask=mask, blending="alpha")
            fake = forge(target, family="diffusion", plan=plan, tool=tool)
            rows = np.flatnonzero((fake.image != target.image).any((1, 2)))
            touched.add((int(rows[0]), int(rows[-1])))
        assert len(touched) > 1
    assert set(PARTS) == {"eyes", "mouth", "inner face"}


def face_of(of: Subject) -> np.ndarray:
    """Return the inner face, small and grey."""
    window = window_of(of.image, of.landmarks, size=32).mean(-1)
    return window[8:26, 8:24].ravel()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["autoencoder", "swap-restorer"])
def test_a_fitted_swap_shows_its_donor(name):
    """Fakes of one target by two donors differ as the donors do, even after a short fit."""
    target, plan = subject(2), replace(Plan.draw(0), mask="hull", blending="alpha")
    tools = family_named(name).fit(sources(2, 8, 14), seed=0, steps=200)
    fakes = [
        forge(target, family=name, plan=plan, donor=subject(i), tool=tools(str(i))) for i in (8, 14)
    ]
    found = face_of(fakes[0]) - face_of(fakes[1])
    wanted = face_of(subject(8)) - face_of(subject(14))
    assert np.corrcoef(found, wanted)[0, 1] > 0.4


@pytest.mark.slow
def test_a_diffusion_edit_paints_something_like_what_was_there():
    target, plan = subject(2), replace(Plan.draw(0), mask="hull", blending="alpha")
    tool = family_named("diffusion").fit(sources(2, 8), seed=0, steps=120)("")
    fake = forge(target, family="diffusion", plan=plan, tool=tool)
    assert np.corrcoef(face_of(fake), face_of(target))[0, 1] > 0.9
    change = np.abs(fake.image.astype(int) - target.image)
    assert change[change > 0].mean() > 3

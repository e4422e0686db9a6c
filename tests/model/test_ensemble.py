"""An ensemble: the mean of its members on one copy of the weights, and how far they are apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import gendkit as gk
from gendkit.errors import InvalidArgument, InvalidImage, MissingMedia, WrongBackbone
from gendkit.model.adapter import Adapter, Header
from gendkit.model.shared import SharedBackbone
from gendkit.plugin.protocols import Face


@pytest.fixture
def adapters(adapter: Adapter) -> list[Adapter]:
    """Three of the same base."""
    return [
        replace(adapter, norms={name: factor * t for name, t in adapter.norms.items()})
        for factor in (0.5, 1.0, 1.5)
    ]


@pytest.fixture
def crops() -> list[NDArray[np.uint8]]:
    return list(np.random.default_rng(0).integers(0, 256, (5, 40, 40, 3), dtype=np.uint8))


def test_its_score_is_the_mean_of_its_members(
    adapters: list[Adapter], crops: list[NDArray[np.uint8]]
):
    alone = np.stack([gk.load(a, device="cpu").predict(crops) for a in adapters])
    ensemble = gk.Ensemble(adapters, device="cpu")
    said = ensemble.opinions(crops, batch_size=2)
    np.testing.assert_allclose(said.members, alone, atol=1e-6)
    np.testing.assert_allclose(said.score, said.members.mean(axis=0), atol=1e-7)
    np.testing.assert_allclose(said.deviation, said.members.std(axis=0), atol=1e-7)
    assert (said.deviation > 0).all()
    assert {a.dtype for a in vars(said).values()} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(ensemble.predict(crops, batch_size=2), said.score)


def test_copies_of_one_adapter_agree(adapter: Adapter, crops: list[NDArray[np.uint8]]):
    said = gk.Ensemble([adapter] * 3, device="cpu").opinions(crops)
    np.testing.assert_array_equal(said.score, said.members[0])
    np.testing.assert_array_equal(said.deviation, 0)


def test_it_holds_the_weights_once(adapters: list[Adapter]):
    ensemble = gk.Ensemble(adapters, device="cpu")
    weights = {id(p) for member in ensemble.members for p in member.backbone.parameters()}
    assert weights == {id(p) for p in ensemble.backbone.module.parameters()}


def test_it_takes_files_and_a_backbone_in_memory(
    adapters: list[Adapter], crops: list[NDArray[np.uint8]], tmp_path: Path
):
    (tmp_path / "run").mkdir()
    paths = [tmp_path / "run", tmp_path / "other.safetensors"]
    adapters[0].write(paths[0] / "adapter.safetensors")
    adapters[1].write(paths[1])
    shared = SharedBackbone.of("small")
    ensemble = gk.Ensemble([*paths, adapters[2]], device="cpu", backbone=shared)
    assert ensemble.backbone is shared
    expected = gk.Ensemble(adapters, device="cpu").predict(crops)
    np.testing.assert_array_equal(ensemble.predict(crops), expected)
    assert repr(ensemble) == "Ensemble(3 adapters of small, 32 px, cpu, float32)"


def test_no_crops_have_no_scores(adapters: list[Adapter]):
    said = gk.Ensemble(adapters, device="cpu").opinions([])
    assert (said.score.shape, said.deviation.shape, said.members.shape) == ((0,), (0,), (3, 0))


def test_bad_crops_are_refused(adapters: list[Adapter], crops: list[NDArray[np.uint8]]):
    ensemble = gk.Ensemble(adapters, device="cpu")
    with pytest.raises(InvalidImage, match=r"such as \[crop\]"):
        ensemble.predict(crops[0])
    with pytest.raises(InvalidArgument, match="batch_size is 0"):
        ensemble.predict(crops, batch_size=0)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda h: replace(h, backbone_hash="c" * 64), WrongBackbone, "share one"),
        (
            lambda h: replace(h, preprocessing=h.preprocessing.at(64)),
            InvalidArgument,
            "one batch for all",
        ),
        (lambda h: replace(h, dtype="bfloat16"), InvalidArgument, "give the dtype"),
    ],
)
def test_members_must_be_alike(
    adapter: Adapter, change: Callable[[Header], Header], error: type[Exception], message: str
):
    other = replace(adapter, header=change(adapter.header))
    with pytest.raises(error, match=message):
        gk.Ensemble([adapter, other], device="cpu")


def test_members_of_two_compute_dtypes_run_in_the_one_that_is_given(adapter: Adapter):
    other = replace(adapter, header=replace(adapter.header, dtype="bfloat16"))
    ensemble = gk.Ensemble([adapter, other], device="cpu", dtype="float32")
    assert [member.dtype for member in ensemble.members] == ["float32"] * 2


def test_an_ensemble_of_none_is_refused():
    with pytest.raises(InvalidArgument, match="give one or more"):
        gk.Ensemble([])


def test_a_missing_member_is_told_so(adapter: Adapter, tmp_path: Path):
    with pytest.raises(MissingMedia, match="no adapter at"):
        gk.Ensemble([adapter, tmp_path], device="cpu")


def test_a_soup_is_not_the_ensemble_of_its_seeds(
    adapters: list[Adapter], crops: list[NDArray[np.uint8]]
):
    soup = gk.load(Adapter.average(adapters), device="cpu").predict(crops)
    assert soup.shape == (5,)
    assert torch.isfinite(torch.from_numpy(soup)).all()


class Whole:
    """Takes the whole of a picture for a face, unless it is dark."""

    threshold = 0.5

    def __call__(self, image: NDArray[np.uint8], /) -> list[Face]:
        if image.mean() < 50:
            return []
        points = np.array([[20, 20], [44, 20], [32, 32], [22, 44], [42, 44]], np.float32)
        return [Face(box=(10.0, 10.0, 54.0, 54.0), landmarks=points, confidence=0.9)]


@pytest.fixture
def picture(tmp_path: Path) -> Callable[[int], Path]:
    def write(level: int) -> Path:
        noise = np.random.default_rng(level).integers(level, level + 40, (64, 64, 3))
        path = tmp_path / f"level-{level}.png"
        Image.fromarray(noise.astype(np.uint8)).save(path)
        return path

    return write


def test_of_a_file_it_says_the_mean_and_what_each_member_says(
    adapters: list[Adapter], picture: Callable[[int], Path]
):
    path = picture(120)
    score = gk.Ensemble(adapters, device="cpu").score(path, extractor=Whole())
    alone = [gk.load(a, device="cpu").score(path, extractor=Whole()) for a in adapters]
    assert [m.score for m in score.members] == pytest.approx([s.score for s in alone], abs=1e-6)
    assert score.score == pytest.approx(np.mean([s.score for s in alone]), abs=1e-6)
    assert [m.adapter for m in score.members] == [a.hash for a in adapters]
    assert score.adapter not in {a.hash for a in adapters}
    assert score.frames[0].thumbnail is not None
    assert "0." in score._repr_html_().partition("members")[2]


def test_a_file_without_a_face_is_not_examined_by_any_member(
    adapters: list[Adapter], picture: Callable[[int], Path]
):
    score = gk.Ensemble(adapters, device="cpu").score(picture(5), extractor=Whole())
    assert score.status == "not examined"
    assert [m.status for m in score.members] == ["not examined"] * 3
    assert score._repr_html_().count("–") == 3


def test_members_whose_training_crops_differ_score_no_file_together(
    adapter: Adapter, picture: Callable[[int], Path]
):
    other = replace(adapter, header=replace(adapter.header, extraction={"scale": 2.0}))
    with pytest.raises(InvalidArgument, match=r"made differently.*2\.0.*opinions"):
        gk.Ensemble([adapter, other], device="cpu").score(picture(120))

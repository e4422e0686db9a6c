"""The detector: crops of any size, batches, dtypes, files, and what it says without a face."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import gendkit as gk
from gendkit.device import best_device, compute
from gendkit.errors import (
    InvalidArgument,
    InvalidImage,
    InvalidRecipe,
    MissingMedia,
    UnknownPart,
    WrongBackbone,
)
from gendkit.model.adapter import Adapter
from gendkit.model.backbone import build_backbone
from gendkit.model.detector import Detector, load
from gendkit.plugin.protocols import Face
from gendkit.plugin.specs import BackboneSpec, FaceExtractorSpec
from gendkit.testing.small import DIM, registered, small_backbone

LANDMARKS = np.array([[20, 20], [44, 20], [32, 32], [22, 44], [42, 44]], np.float32)


class Bright:
    """Takes a picture that is not dark for a face."""

    def __init__(self, threshold: float = 0.5) -> None:
        self.threshold = threshold

    def __call__(self, image: np.ndarray) -> list[Face]:
        if image.mean() < 50:
            return []
        return [Face(box=(10.0, 10.0, 54.0, 54.0), landmarks=LANDMARKS, confidence=0.9)]


def crops(n: int, seed: int = 0) -> list[np.ndarray]:
    """Crops of different sizes."""
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (*rng.integers(20, 90, 2), 3), dtype=np.uint8) for _ in range(n)]


@pytest.fixture
def picture(tmp_path: Path) -> Callable[[int], Path]:
    def write(level: int) -> Path:
        noise = np.random.default_rng(level).integers(level, level + 40, (64, 64, 3))
        path = tmp_path / f"level-{level}.png"
        Image.fromarray(noise.astype(np.uint8)).save(path)
        return path

    return write


def test_crops_of_any_size_are_scored_in_their_order(detector: Detector) -> None:
    given = crops(7)
    scores = detector.predict(given)
    assert scores.shape == (7,)
    assert scores.dtype == np.float32
    assert ((scores > 0) & (scores < 1)).all()
    assert len(set(scores.tolist())) == 7
    alone = np.concatenate([detector.predict([crop]) for crop in given])
    np.testing.assert_allclose(scores, alone, atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 2, 7, 100])
def test_the_batch_size_does_not_matter(detector: Detector, batch_size: int) -> None:
    given = crops(7)
    expected, got = detector.outputs(given), detector.outputs(given, batch_size=batch_size)
    for name in ("embedding", "logit", "score"):
        np.testing.assert_allclose(getattr(got, name), getattr(expected, name), atol=1e-5)


def test_outputs_belong_together(detector: Detector) -> None:
    outputs = detector.outputs(crops(5))
    assert outputs.embedding.shape == (5, DIM)
    assert outputs.logit.shape == (5, 2)
    np.testing.assert_allclose(np.linalg.norm(outputs.embedding, axis=1), 1, atol=1e-6)
    weight, bias = (detector.adapter.head[key].numpy() for key in ("weight", "bias"))
    np.testing.assert_allclose(outputs.logit, outputs.embedding @ weight.T + bias, atol=1e-5)
    odds = np.exp(outputs.logit)
    np.testing.assert_allclose(outputs.score, odds[:, 1] / odds.sum(axis=1), atol=1e-6)
    assert np.array_equal(detector.embed(crops(5)), outputs.embedding)


def test_crops_may_come_from_a_generator_a_batch_at_a_time(detector: Detector) -> None:
    given = crops(5)
    expected = detector.predict(given, batch_size=2)
    lazily = detector.predict((crop for crop in given), batch_size=2)
    np.testing.assert_allclose(lazily, expected, atol=1e-6)
    stack = np.stack([crop[:20, :20] for crop in given])
    np.testing.assert_allclose(detector.predict(stack), detector.predict(list(stack)), atol=1e-6)
    for few in (iter(()), np.empty(0, np.uint8), ()):
        assert detector.predict(few).shape == (0,)


@pytest.mark.parametrize("one", [np.zeros((40, 30, 3), np.uint8), np.zeros((40, 30), np.uint8), 7])
def test_one_crop_is_no_list_of_crops(detector: Detector, one: Any) -> None:
    with pytest.raises(InvalidImage, match=r"got one (ndarray \(40, 30|int).*give a list of crops"):
        detector.predict(one)


@pytest.mark.parametrize("batch_size", [0, -1])
def test_a_batch_has_at_least_one_crop(detector: Detector, batch_size: int) -> None:
    for run in (detector.predict, detector.embed, detector.outputs):
        with pytest.raises(InvalidArgument, match=f"batch_size is {batch_size}; give 1 or more"):
            run(crops(2), batch_size=batch_size)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"order": "foo"}, "no frame order is named 'foo'; there is spread, uniform, stride"),
        ({"frames": 0}, "frames is 0; give 1 or more"),
        ({"frames": -3}, "frames is -3; give 1 or more"),
    ],
)
def test_impossible_frames_are_refused_before_any_work(
    detector: Detector, tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    for look in (detector.score, detector.examine):
        with pytest.raises(InvalidArgument, match=words):
            look(tmp_path / "missing.mp4", **options)


def test_no_crops_give_empty_arrays(detector: Detector) -> None:
    outputs = detector.outputs([])
    assert outputs.embedding.shape == (0, DIM)
    assert outputs.logit.shape == (0, 2)
    assert outputs.score.shape == (0,)
    assert outputs.score.dtype == np.float32


@pytest.mark.parametrize(
    "crop",
    [np.zeros((8, 8, 3)), np.zeros((8, 8), np.uint8), np.zeros((3, 8, 8), np.uint8), None],
)
def test_a_crop_that_is_no_rgb_picture_is_refused(detector: Detector, crop: Any) -> None:
    with pytest.raises(InvalidImage):
        detector.predict([*crops(1), crop])


def test_scoring_leaves_no_gradient_and_no_randomness_behind(detector: Detector) -> None:
    state = torch.get_rng_state()
    detector.predict(crops(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.grad is None for p in detector.backbone.parameters())
    assert not detector.backbone.training


def test_a_loaded_detector_is_the_one_that_was_written(
    detector: Detector, adapter: Adapter, tmp_path: Path
) -> None:
    adapter.write(tmp_path / "adapter.safetensors")
    given = crops(5)
    for source in (tmp_path, tmp_path / "adapter.safetensors", adapter):
        loaded = gk.load(source, device="cpu")
        assert np.array_equal(loaded.predict(given), detector.predict(given))


def test_a_backbone_in_memory_is_used_as_it_is(spec: BackboneSpec, adapter: Adapter) -> None:
    module = build_backbone(spec)
    assert load(adapter, backbone=module, device="cpu").backbone is module


def test_the_dtype_of_the_training_is_the_default(adapter: Adapter) -> None:
    trained = replace(adapter, header=replace(adapter.header, dtype="bfloat16"))
    assert load(trained, device="cpu").dtype == "bfloat16"
    assert load(trained, device="cpu", dtype="float32").dtype == "float32"


def test_bfloat16_changes_the_encoder_and_keeps_the_sphere_exact(adapter: Adapter) -> None:
    given = crops(4)
    half = load(adapter, device="cpu", dtype="bfloat16").outputs(given)
    full = load(adapter, device="cpu").outputs(given)
    assert not np.array_equal(half.embedding, full.embedding)
    assert half.embedding.dtype == half.logit.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(half.embedding, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(half.score, full.score, atol=0.05)


@pytest.mark.parametrize("dtype", ["float16", "fp32", ""])
def test_an_unknown_dtype_is_refused(adapter: Adapter, dtype: Any) -> None:
    with pytest.raises(InvalidRecipe, match="there is float32, tf32, bfloat16"):
        compute(dtype, "cpu")
    trained = replace(adapter, header=replace(adapter.header, dtype=dtype))
    with pytest.raises(InvalidRecipe, match="there is float32, tf32, bfloat16"):
        load(trained, device="cpu")


def test_the_best_device_is_one_that_works() -> None:
    assert torch.empty(1, device=best_device()).numel() == 1


@pytest.mark.parametrize("device", ["toaster", "cuda:99", ""])
def test_a_device_that_is_not_there_is_refused_before_weights_are_loaded(device: str) -> None:
    with pytest.raises(InvalidArgument, match=rf"^device '{device}' cannot be used") as error:
        load("there is no such file", device=device)
    assert "\n" not in str(error.value)
    assert f"leave it out for {best_device()!r}" in str(error.value)


def test_a_head_of_another_length_is_refused(adapter: Adapter) -> None:
    wide = {"weight": torch.ones(2, DIM + 1), "bias": torch.ones(2)}
    with pytest.raises(WrongBackbone, match=f"takes {DIM + 1} features, small gives {DIM}"):
        load(replace(adapter, head=wide), device="cpu")


def test_an_adapter_of_an_unknown_backbone_is_told_so(adapter: Adapter) -> None:
    header = replace(adapter.header, backbone="gone")
    with pytest.raises(UnknownPart, match="gone"):
        load(replace(adapter, header=header), device="cpu")


def test_a_missing_file_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(MissingMedia):
        gk.load(tmp_path / "none.safetensors")


def test_a_picture_is_scored_by_its_largest_face(
    detector: Detector, picture: Callable[[int], Path]
) -> None:
    score = detector.score(picture(120), extractor=Bright())
    assert score.status == "scored"
    assert score.frames_total == 1
    [crop] = detector.examine(picture(120), extractor=Bright()).faces
    assert crop.image is not None
    assert score.score == pytest.approx(float(detector.predict([crop.image])[0]))
    assert score.frames[0].box == (10.0, 10.0, 54.0, 54.0)
    assert score.adapter == detector.adapter.hash
    assert score.dtype == "float32"


def test_a_score_records_how_the_faces_were_found(
    detector: Detector, picture: Callable[[int], Path]
) -> None:
    class Named(Bright):
        name = "brightest"

    def recorded(**options: Any) -> tuple[Any, ...]:
        record = detector.score(picture(120), **options).to_dict()
        keys = ("extractor", "threshold", "scale", "order", "frames_asked")
        return tuple(record[key] for key in keys)

    assert recorded(extractor=Named(0.7)) == ("brightest", 0.7, 1.3, "spread", 32)
    assert recorded(extractor=Bright(0.4), order="uniform", frames=5) == (
        *("Bright", 0.4, 1.3, "uniform", 5),
    )
    assert recorded(extractor=lambda image: [])[:2] == ("function", None)


def test_the_score_of_a_named_extractor_records_that_name_and_the_threshold_of_the_training(
    adapter: Adapter, picture: Callable[[int], Path]
) -> None:
    bright = FaceExtractorSpec(
        name="bright",
        summary="for tests",
        licence="MIT",
        build=lambda *, threshold=0.5: Bright(threshold),
        threshold=0.5,
    )
    header = replace(
        adapter.header, extraction={"extractor": "bright", "threshold": 0.7, "scale": 1.5}
    )
    with registered(small_backbone(), bright):
        trained = load(replace(adapter, header=header), device="cpu")
        scores = [trained.score(picture(120), extractor=name) for name in (None, "bright")]
    assert trained.extractor_name == "bright"
    for score in scores:
        assert (score.extractor, score.threshold, score.scale) == ("bright", 0.7, 1.5)


def test_a_picture_without_a_face_is_not_examined(
    detector: Detector, picture: Callable[[int], Path]
) -> None:
    score = detector.score(picture(5), extractor=Bright())
    assert score.score is None
    assert score.status == "not examined"
    assert score.reasons == {"no face found": 1}


def test_the_training_extractor_and_its_threshold_are_the_default(
    spec: BackboneSpec, adapter: Adapter, picture: Callable[[int], Path]
) -> None:
    built: list[float] = []

    def build(*, threshold: float = 0.5) -> Bright:
        built.append(threshold)
        return Bright(threshold)

    bright = FaceExtractorSpec(
        name="bright", summary="for tests", licence="MIT", build=build, threshold=0.5
    )
    extraction = {"extractor": "bright", "threshold": 0.7, "scale": 1.5, "size": 48}
    with registered(small_backbone(), bright):
        header = replace(adapter.header, extraction=extraction)
        trained = load(replace(adapter, header=header), device="cpu")
        [face] = trained.examine(picture(120)).faces
        trained.extractor("bright")
        load(replace(adapter, header=replace(header, extraction={})), device="cpu").extractor(
            "bright"
        )
    assert face.image is not None
    assert face.image.shape == (48, 48, 3)
    assert built == [0.7, 0.7, 0.5]


def test_an_adapter_that_does_not_know_its_extraction_scores_all_the_same(
    adapter: Adapter, picture: Callable[[int], Path]
) -> None:
    bare = load(replace(adapter, header=replace(adapter.header, extraction={})), device="cpu")
    assert bare.score(picture(120), extractor=Bright()).score is not None


def test_a_video_is_scored_by_the_mean_of_its_faces(
    detector: Detector, asset: Callable[[str], Path]
) -> None:
    asset("centerface")
    score = detector.score(asset("carphone"), frames=4)
    assert score.faces == len(score.frames) == 4
    assert score.frames_total > 100
    scores = [frame.score for frame in score.frames if frame.score is not None]
    assert score.score == pytest.approx(np.mean(scores))
    assert [frame.frame for frame in score.frames] == sorted(frame.frame for frame in score.frames)
    record = json.loads(json.dumps(score.to_dict()))
    assert record["status"] == "scored"
    assert record["faces"] == 4
    assert len(score.to_frame()) == 4


def test_a_detector_says_what_it_is(detector: Detector) -> None:
    assert repr(detector) == (
        f"Detector(small, 32 px, adapter {detector.adapter.hash[:12]}, cpu, float32)"
    )

"""The face extractor that a detector asks: the one of its training, or the one that is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import gendkit as gk
from gendkit.data.extractors import WhenAsked
from gendkit.errors import InvalidArgument, PluginError, UnknownPart
from gendkit.model.adapter import Adapter
from gendkit.model.detector import Detector, load
from gendkit.plugin import plugins
from gendkit.plugin.protocols import Face
from gendkit.plugin.specs import FaceExtractorSpec
from gendkit.testing.small import registered, small_backbone

LANDMARKS = np.array([[20, 20], [44, 20], [32, 32], [22, 44], [42, 44]], np.float32)


class Bright:
    """Takes every picture for a face."""

    def __init__(self, threshold: float = 0.5) -> None:
        self.threshold = threshold

    def __call__(self, image: np.ndarray) -> list[Face]:
        return [Face(box=(10.0, 10.0, 54.0, 54.0), landmarks=LANDMARKS, confidence=0.9)]


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    noise = np.random.default_rng(0).integers(120, 160, (64, 64, 3))
    Image.fromarray(noise.astype(np.uint8)).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def test_a_training_extractor_without_a_name_must_be_given(adapter: Adapter, picture: Path) -> None:
    extraction = {"extractor": "", "threshold": 0.5, "scale": 1.3}
    trained = load(
        replace(adapter, header=replace(adapter.header, extraction=extraction)), device="cpu"
    )
    with pytest.raises(UnknownPart, match=r"has no name, .* give it as extractor=") as raised:
        trained.score(picture)
    assert "\n" not in str(raised.value)
    assert trained.score(picture, extractor=Bright()).score is not None


def test_crops_of_a_built_extractor_of_a_plugin_are_scored_by_its_name(
    adapter: Adapter, picture: Path, tmp_path: Path
) -> None:
    class Named(Bright):
        name = "bright"

    bright = FaceExtractorSpec(
        name="bright", summary="for tests", licence="MIT", build=Named, threshold=0.5
    )
    with registered(small_backbone(), bright):
        meta = gk.extract(picture, tmp_path / "out", extractor=Named(0.6)).meta
        extraction = {key: meta[key] for key in ("extractor", "threshold", "scale")}
        header = replace(adapter.header, extraction=extraction)
        trained = load(replace(adapter, header=header), device="cpu")
        assert isinstance(trained.extractor(), Named)
        assert trained.extractor().threshold == 0.6
        assert trained.score(picture).status == "scored"


def test_an_extractor_that_cannot_be_built_stops_with_its_plugin_and_name(
    detector: Detector, picture: Path
) -> None:
    def build(*, threshold: float = 0.5) -> Bright:
        raise RuntimeError("no luck")

    failing = FaceExtractorSpec(
        name="failing", summary="for tests", licence="MIT", build=build, threshold=0.5
    )
    words = r"'failing' of plugin 'gendkit.testing' .* cannot be built: RuntimeError: no luck"
    with registered(small_backbone(), failing), pytest.raises(PluginError, match=words):
        detector.score(picture, extractor="failing")


def test_a_detector_of_whole_pictures_scores_them_whole(
    adapter: Adapter, picture: Path, tmp_path: Path
) -> None:
    from gendkit.train.record import extraction

    made = gk.extract(picture, tmp_path / "out", extractor="whole-frame")
    header = replace(adapter.header, extraction=extraction(made))
    trained = load(replace(adapter, header=header), device="cpu")
    found = trained.score(picture)
    assert (found.extractor, found.threshold, found.scale) == ("whole-frame", 0.0, None)
    assert found.score == pytest.approx(float(trained.predict([made.crop(0)])[0]))
    assert found.to_dict()["scale"] is None
    assert found.frames[0].box == (0, 0, 63, 63)


@pytest.mark.parametrize("which", ["mask", "meant", "everybody"])
def test_of_a_file_no_face_is_chosen_by_a_mask(
    detector: Detector, picture: Path, which: str
) -> None:
    with pytest.raises(InvalidArgument, match=f"faces are called '{which}', because it brings no"):
        detector.score(picture, extractor=Bright(), which=which)  # type: ignore[arg-type]


@pytest.mark.parametrize("which", ["largest", "track", "all"])
def test_the_score_says_which_faces_were_scored(
    detector: Detector, picture: Path, which: str
) -> None:
    found = detector.score(picture, extractor=Bright(), which=which)  # type: ignore[arg-type]
    assert (found.which, found.faces) == (which, 1)


def test_a_process_that_is_sent_the_same_extractor_again_builds_it_once() -> None:
    built: list[float] = []

    def build(*, threshold: float) -> Callable[[np.ndarray], list[Face]]:
        built.append(threshold)
        return lambda image: []

    spec = FaceExtractorSpec(
        name="counted", summary="for tests", licence="none", threshold=0.5, build=build,
        thread_safe=True,
    )  # fmt: skip
    with registered(spec):
        part = plugins().part("face-extractor", "counted")
    make, arguments = WhenAsked(part, {"threshold": 0.7}).__reduce__()
    for _ in range(3):
        sent = make(*arguments)
        sent.build()
        assert sent.threshold == 0.7
    assert built == [0.7]

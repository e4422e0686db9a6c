"""Sensitivity: what does not change the crop changes nothing, and what cannot be done is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest

import gendkit as gk
from gendkit.errors import InvalidArgument, InvalidImage, MissingMedia
from gendkit.evaluate import sensitivity as module
from gendkit.evaluate.sensitivity import check_members
from gendkit.model.detector import Detector
from gendkit.plugin.protocols import Face

TEMPLATE = np.array([[0.34, 0.46], [0.66, 0.46], [0.5, 0.64], [0.37, 0.82], [0.63, 0.82]])


class Still:
    """Two people who sit still."""

    threshold = 0.5
    name = "still"

    def __call__(self, image: np.ndarray) -> list[Face]:
        return [self._face(60, 60, 60), self._face(160, 60, 50)]

    @staticmethod
    def _face(x: float, y: float, side: float) -> Face:
        points = (np.array([x, y]) + side * (TEMPLATE - 0.5)).astype(np.float32)
        half = side / 2
        return Face(box=(x - half, y - half, x + half, y + half), landmarks=points, confidence=0.9)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Twelve frames of noise that drifts."""
    path = tmp_path / "clip.mp4"
    rng = np.random.default_rng(0)
    still = rng.integers(0, 256, (30, 52, 3), np.uint8).repeat(4, 0).repeat(4, 1)
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 208, 120, "yuv420p"
        for i in range(12):
            image = np.roll(still, i, axis=1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No face extractor but the one that is given."""
    monkeypatch.setattr(module, "_others", lambda *_: [])


@pytest.mark.usefixtures("alone")
def test_each_change_is_told_for_each_person(detector: Detector, clip: Path) -> None:
    found = gk.sensitivity(clip, detector, frames=4, draws=2, extractor=Still())
    assert set(found["track"]) == {0, 1}
    changes = found[found["track"] == 1].groupby("change", sort=False)["setting"].count()
    assert changes.to_dict() == {
        "none": 1, "crop jitter": 2, "re-encoding": 6, "frames": 2, "extractor": 1, "detector": 1,
    }  # fmt: skip
    left = found[found["change"].isin(["extractor", "detector"])]
    assert left["score"].isna().all()
    assert set(left["reason"]) == {
        "no other face extractor is installed",
        "no detector of another seed was given",
    }
    found = found[~found["change"].isin(["extractor", "detector"])]
    first = found[found["change"] == "none"]
    assert first["difference"].tolist() == [0, 0]
    examined = detector.examine(clip, frames=4, extractor=Still(), which="all")
    for track in (0, 1):
        crops = [c.image for c in examined.faces if c.track == track]
        expected = detector.predict(crops).mean()
        rows = found[(found["track"] == track) & (found["change"] == "none")]
        assert rows["score"].iloc[0] == pytest.approx(expected, abs=1e-6)
    moved = found[found["change"] == "crop jitter"]
    assert (moved["difference"].abs() > 0).all()
    assert (found["faces"] == 4).all()


@pytest.mark.usefixtures("alone")
def test_a_jitter_of_nothing_changes_nothing(
    detector: Detector, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So what the crop jitter shows is the jitter, and not another way to cut."""
    monkeypatch.setattr(module, "JITTER", 0.0)
    found = gk.sensitivity(clip, detector, frames=4, draws=1, extractor=Still())
    jittered = found[found["change"] == "crop jitter"]
    np.testing.assert_allclose(jittered["difference"], 0, atol=1e-6)


@pytest.mark.usefixtures("alone")
def test_a_face_that_cannot_be_moved_is_not_called_steady(
    detector: Detector, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise InvalidImage("so small that its points coincide")

    monkeypatch.setattr(module, "align_face", refused)
    found = gk.sensitivity(clip, detector, frames=2, draws=1, extractor=Still())
    jittered = found[found["change"] == "crop jitter"]
    assert jittered["score"].isna().all()
    assert (jittered["faces"] == 0).all()
    assert set(jittered["reason"]) == {"no face could be moved so far"}


@pytest.mark.usefixtures("alone")
def test_the_seed_repeats_it_and_members_are_asked(detector: Detector, clip: Path) -> None:
    ask = {"frames": 3, "draws": 2, "extractor": Still(), "members": [detector]}
    one = gk.sensitivity(clip, detector, **ask)
    pd.testing.assert_frame_equal(one, gk.sensitivity(clip, detector, **ask))
    member = one[one["change"] == "detector"]
    assert member["difference"].tolist() == [0, 0]
    other = gk.sensitivity(clip, detector, seed=5, **ask)
    jitter = [t.loc[t["change"] == "crop jitter", "score"].tolist() for t in (one, other)]
    assert jitter[0] != jitter[1]


def test_a_member_is_another_seed_of_the_same_training(detector: Detector) -> None:
    head = {**detector.adapter.head, "bias": detector.adapter.head["bias"] + 1}

    def member(**recipe: object) -> Detector:
        own = detector.adapter.header
        header = replace(own, recipe={**own.recipe, **recipe})
        adapter = replace(detector.adapter, header=header, head=head)
        return Detector(detector.backbone, spec=detector.spec, adapter=adapter)

    check_members(detector, [member(seed=7)])
    with pytest.raises(InvalidArgument, match="is the detector itself, or given twice"):
        check_members(detector, [detector])
    with pytest.raises(InvalidArgument, match="is the detector itself, or given twice"):
        check_members(detector, [member(seed=7), member(seed=7)])
    with pytest.raises(InvalidArgument, match="differs from the detector in its recipe"):
        check_members(detector, [member(seed=7, epochs=99)])


def test_an_extractor_that_finds_nobody_leaves_its_reason(
    detector: Detector, clip: Path, asset: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    asset("centerface")
    monkeypatch.setattr(module, "_others", lambda *_: ["centerface"])
    found = gk.sensitivity(clip, detector, frames=2, draws=1, extractor=Still())
    other = found[found["change"] == "extractor"]
    assert other["score"].isna().all()
    assert set(other["reason"]) == {"this person's face was not found"}
    assert other["setting"].str.startswith("centerface, threshold").all()


@pytest.mark.usefixtures("alone")
def test_a_picture_has_no_other_frames(detector: Detector, tmp_path: Path) -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (120, 200, 3), np.uint8)).save(tmp_path / "a.png")
    found = gk.sensitivity(tmp_path / "a.png", detector, extractor=Still())
    assert "frames" not in set(found["change"])


def test_nonsense_is_refused(detector: Detector, tmp_path: Path) -> None:
    with pytest.raises(MissingMedia):
        gk.sensitivity(tmp_path / "none.mp4", detector, extractor=Still())
    with pytest.raises(InvalidArgument, match="draws is 0"):
        gk.sensitivity(tmp_path / "none.mp4", detector, draws=0)


@pytest.mark.usefixtures("alone")
def test_whole_pictures_have_no_landmarks_to_move(detector: Detector, clip: Path) -> None:
    found = gk.sensitivity(clip, detector, frames=2, draws=1, extractor="whole-frame")
    (row,) = found[found["change"] == "crop jitter"].to_dict("records")
    assert row["reason"] == "whole pictures have no landmarks to move"
    assert np.isnan(row["score"])


def test_a_part_that_looks_for_no_face_is_no_other_extractor(detector: Detector) -> None:
    others = module._others(detector, "centerface")
    assert "yunet" in others
    assert "whole-frame" not in others

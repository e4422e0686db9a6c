"""A clip and its forged twin: the same frames, told apart by the forgery alone."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gendkit.data.drawn import draw_face
from gendkit.data.media import read_frames
from gendkit.errors import NotExamined
from gendkit.evaluate.demo.twin import score_clip, write_twins, write_video
from gendkit.model.detector import Detector
from gendkit.plugin.manager import plugins
from gendkit.plugin.protocols import Face

SIDE, FRAMES = 160, 4
Images = list[NDArray[np.uint8]]


class Known:
    """Knows the drawn faces again, except those to which it is blind."""

    threshold = 0.5

    def __init__(self, faces: list[Any], *, blind: tuple[int, ...] = ()) -> None:
        self.faces = faces
        self.blind = blind

    def __call__(self, image: Any, /) -> list[Face]:
        nearest = int(np.argmin([apart(image, f.image).mean() for f in self.faces]))
        if nearest in self.blind:
            return []
        points = self.faces[nearest].landmarks
        (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
        return [Face(box=(left, top, right, bottom), landmarks=points, confidence=0.9)]


@pytest.fixture(scope="module")
def faces() -> list[Any]:
    return [draw_face(identity=i, clip=0, size=SIDE) for i in range(FRAMES)]


@pytest.fixture(scope="module")
def clip(faces: list[Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video at 20 frames a second in which each frame shows another person."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_video(path, [f.image for f in faces], rate=Fraction(20))
    return path


def twins(
    clip: Path, faces: list[Any], folder: Path, *, blind: tuple[int, ...] = (), **options: Any
) -> tuple[Images, Images]:
    """Write and read the twins; in the blind frames no face is found."""
    real, fake = folder / "real.mp4", folder / "fake.mp4"
    write_twins(
        clip, real, fake, extractor=Known(faces, blind=blind), **{"frames": FRAMES, **options}
    )
    one, other = ([f.image for f in read_frames(p, range(99))] for p in (real, fake))
    return one, other


def apart(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean difference (H, W) over the channels, in grey levels."""
    difference: NDArray[np.float64] = np.abs(one.astype(float) - other).mean(axis=2)
    return difference


def inside(face: Any) -> NDArray[np.bool_]:
    """The box of the landmarks."""
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    (left, top), (right, bottom) = face.landmarks.min(axis=0), face.landmarks.max(axis=0)
    mask[int(top) : int(bottom), int(left) : int(right)] = True
    return mask


def test_both_files_have_the_clip_s_frames(clip: Path, faces: list[Any], tmp_path: Path) -> None:
    real, fake = twins(clip, faces, tmp_path)
    assert len(real) == len(fake) == FRAMES
    assert {image.shape for image in (*real, *fake)} == {(SIDE, SIDE, 3)}
    times = [
        [f.time for f in read_frames(p, range(99))]
        for p in (clip, tmp_path / "real.mp4", tmp_path / "fake.mp4")
    ]
    assert times[1] == times[2]
    np.testing.assert_allclose(times[1], times[0], atol=1e-3)
    np.testing.assert_allclose(times[0], [0, 0.05, 0.1, 0.15], atol=1e-6)


def test_the_clip_s_own_frames_are_encoded_anew_and_no_more(
    clip: Path, faces: list[Any], tmp_path: Path
) -> None:
    filmed = [f.image for f in read_frames(clip, range(FRAMES))]
    real, _ = twins(clip, faces, tmp_path)
    assert max(apart(a, b).mean() for a, b in zip(filmed, real, strict=True)) < 2.5


def test_the_twin_differs_in_the_face_and_elsewhere_only_by_encoding(
    clip: Path, faces: list[Any], tmp_path: Path
) -> None:
    real, fake = twins(clip, faces, tmp_path)
    for a, b, face in zip(real, fake, faces, strict=True):
        difference, edge = apart(a, b), np.ones((SIDE, SIDE), dtype=bool)
        edge[16:-16, 16:-16] = False
        assert difference[inside(face)].mean() > 8
        assert difference[edge].mean() < 2


def test_a_frame_without_a_face_stays_as_it_is(
    clip: Path, faces: list[Any], tmp_path: Path
) -> None:
    real, fake = twins(clip, faces, tmp_path, blind=(1, 3))
    changes = [apart(a, b)[inside(f)].mean() for a, b, f in zip(real, fake, faces, strict=True)]
    assert min(changes[0], changes[2]) > 8
    assert max(changes[1], changes[3]) < 2.5


@pytest.mark.parametrize(("frames", "expected"), [(2, 2), (100, FRAMES)])
def test_the_first_frames_are_taken_as_far_as_there_are_any(
    clip: Path, faces: list[Any], tmp_path: Path, frames: int, expected: int
) -> None:
    filmed = [f.image for f in read_frames(clip, range(expected))]
    real, fake = twins(clip, faces, tmp_path, frames=frames)
    assert len(real) == len(fake) == expected
    assert max(apart(a, b).mean() for a, b in zip(filmed, real, strict=True)) < 2.5


def test_one_seed_gives_one_pair_of_files(clip: Path, faces: list[Any], tmp_path: Path) -> None:
    made = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        made.append(twins(clip, faces, tmp_path / name, seed=1))
    for one, other in zip(*made, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_clip_without_a_face_has_no_twin(clip: Path, faces: list[Any], tmp_path: Path) -> None:
    with pytest.raises(NotExamined, match=r"no face in the first 4 frames of .*clip\.mp4"):
        twins(clip, faces, tmp_path, blind=(0, 1, 2, 3))
    assert list(tmp_path.iterdir()) == []


def test_a_real_clip_is_forged_where_its_face_is(
    asset: Callable[[str], Path], tmp_path: Path
) -> None:
    asset("centerface")
    extractor = plugins().spec("face-extractor", "centerface").build()
    real, fake = tmp_path / "real.mp4", tmp_path / "fake.mp4"
    write_twins(asset("carphone"), real, fake, extractor=extractor, frames=4)
    pairs = zip(*(read_frames(p, range(9)) for p in (real, fake)), strict=True)
    for one, other in pairs:
        difference = apart(one.image, other.image)
        left, top, right, bottom = (round(v) for v in extractor(one.image)[0].box)
        assert difference[top:bottom, left:right].mean() > 2 * difference[:, :24].mean()


def test_a_clip_is_scored_as_the_detector_scores_it(
    clip: Path, faces: list[Any], detector: Detector
) -> None:
    extractor = Known(faces, blind=(2,))
    scored = score_clip(clip, detector, extractor=extractor, name="drawn", frames=4)
    expected = detector.score(clip, extractor=extractor, frames=4)
    assert scored.name == "drawn"
    assert [face is None for face in scored.faces] == [False, False, True, False]
    kept = [np.nan if f.score is None else f.score for f in expected.frames]
    np.testing.assert_allclose(scored.score, kept, rtol=0, atol=1e-7)
    assert scored.clip_score == pytest.approx(expected.score)
    np.testing.assert_allclose(scored.time, [0, 0.05, 0.1, 0.15], rtol=0, atol=1e-6)


def test_a_clip_without_a_face_has_no_score(
    clip: Path, faces: list[Any], detector: Detector
) -> None:
    blind = Known(faces, blind=(0, 1, 2, 3))
    scored = score_clip(clip, detector, extractor=blind, name="empty", frames=4)
    assert np.isnan(scored.clip_score)
    assert np.isnan(scored.score).all()
    assert scored.faces == (None,) * 4

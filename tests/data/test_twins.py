"""Twin crops: a fake is cut out where its real frame was, or not at all."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gendkit.data.examine import NO_FACE, NO_FRAME, examine
from gendkit.data.extract import extract
from gendkit.data.faces import TEMPLATE
from gendkit.data.media import read_image
from gendkit.data.twins import examine_twin, real_twins
from gendkit.data.which import EMPTY_MASK, NO_MASK, OFF_MASK
from gendkit.errors import InvalidArgument, MissingMedia, OutputExists, UnreadableMedia
from gendkit.plugin import Clip, Face, Frame

PATCH = (slice(60, 75), slice(70, 90))
"""What the forger changed."""
CORNER = np.array([40.0, 30.0])
SIDE = 80.0


class Marks:
    """Finds a face of 80 px where a frame has a mark, and nothing in frames without one.

    In a fake it finds the face two pixels off, as detectors do; so own and twin crops differ.
    """

    threshold = 0.5

    def __call__(self, image: np.ndarray, /) -> list[Face]:
        if image[0, 0, 0] != 255:
            return []
        shift = 2.0 if image[0, 1, 0] else 0.0
        corner = CORNER + np.array([image[0, 2, 0] + shift, shift])
        points = (corner + np.asarray(TEMPLATE) * SIDE).astype(np.float32)
        box = (*corner.tolist(), *(corner + SIDE).tolist())
        return [Face(box=box, landmarks=points, confidence=0.9)]


def picture(number: int, *, fake: bool, face: bool = True, size: int = 160) -> np.ndarray:
    """A frame of noise; a fake differs from its real one in a patch, and in what marks it."""
    image = np.random.default_rng(number).integers(1, 255, (size, 200, 3), dtype=np.uint8)
    image[0, 0], image[0, 1], image[0, 2] = 255 if face else 0, 255 if fake else 0, number
    if fake:
        image[PATCH] = 255 - image[PATCH]
    return image


def render(total: int, *, fake: bool, faceless: tuple[int, ...] = (), **more: Any) -> Iterator:
    masks = more.pop("masks", {})
    for number in range(total):
        image = picture(number, fake=fake, face=number not in faceless, **more)
        yield Frame(index=number, time=number / 10, image=image, mask=masks.get(number))


def clip(video: str, total: int = 6, *, label: int = 1, **options: Any) -> Clip:
    media = functools.partial(render, total, fake=label == 1, **options)
    return Clip(video=video, media=media, dataset="d", label=label, pair="real")


REAL = clip("real", label=0, faceless=(2,))
FAKE = clip("fake", faceless=(4,))


def test_the_twin_crop_differs_in_the_patch_alone(tmp_path: Path) -> None:
    made = extract([FAKE, REAL], tmp_path / "pair", extractor=Marks(), crop="pair")
    fakes = made.where(made.table["label"] == 1)
    reals = made.where(made.table["label"] == 0)
    assert list(fakes.table["frame"]) == list(reals.table["frame"]) == list(range(6))
    there = [0, 1, 3, 4, 5]
    assert list(np.flatnonzero(fakes.table["path"] != "")) == there
    for row in there:
        assert list(fakes.table["landmarks"][row]) == list(reals.table["landmarks"][row])
        assert list(fakes.table["box"][row]) == list(reals.table["box"][row])
        one, other = fakes.crop(row).astype(int), reals.crop(row).astype(int)
        assert one.shape == other.shape
        changed = (one != other).any(axis=2)
        ys, xs = np.nonzero(changed)
        inside = np.zeros_like(changed)
        inside[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1] = True
        # The crop is not turned or scaled: the patch, and a pixel of interpolation around it.
        assert (inside.any(0).sum(), inside.any(1).sum()) <= (22, 17)
        assert changed[inside].mean() > 0.8
        assert not changed[~inside].any()
    assert fakes.table["confidence"].isna().all(), "nothing was sought in the fake"
    assert made.meta["crop"] == "pair"


def test_cropped_by_their_own_landmarks_the_same_pair_differs_everywhere(tmp_path: Path) -> None:
    """So the test above can fail."""
    made = extract([FAKE, REAL], tmp_path / "own", extractor=Marks())
    fakes = made.where((made.table["label"] == 1) & (made.table["frame"] == 0))
    reals = made.where((made.table["label"] == 0) & (made.table["frame"] == 0))
    assert (fakes.crop(0) != reals.crop(0)).any(axis=2).mean() > 0.9


def test_files_are_cropped_as_rendered_frames_are(tmp_path: Path) -> None:
    for name, fake in (("real", False), ("fake", True)):
        Image.fromarray(picture(0, fake=fake)).save(tmp_path / f"{name}.png")
    real = replace(REAL, media=tmp_path / "real.png")
    fake = replace(FAKE, media=tmp_path / "fake.png")
    (crop,) = examine_twin(fake, real, extractor=Marks()).crops
    (model,) = examine(real, extractor=Marks()).crops
    assert crop.image is not None
    assert crop.landmarks == model.landmarks
    assert read_image(tmp_path / "fake.png").shape[:2] == crop.picture


@pytest.mark.parametrize("limit", [600.0, None])
def test_files_are_cropped_in_pairs_wherever_they_are_decoded(
    tmp_path: Path, limit: float | None
) -> None:
    clips = []
    for name, label in (("fake", 1), ("real", 0)):
        file = tmp_path / f"{name}.png"
        Image.fromarray(picture(0, fake=label == 1)).save(file)
        clips.append(replace(REAL, video=name, media=file, label=label))
    made = extract(
        clips, tmp_path / "out", extractor=Marks(), crop="pair", time_limit=limit, size=64
    )
    assert list(made.table["landmarks"][0]) == list(made.table["landmarks"][1])
    assert made.crop(0).shape == (64, 64, 3)
    with pytest.raises(OutputExists):
        extract(clips, tmp_path / "out", extractor=Marks(), time_limit=limit, size=64)


def test_the_frames_are_those_of_the_real_clip_and_each_says_why_it_has_no_crop() -> None:
    found = examine_twin(clip("fake", 4), REAL, extractor=Marks(), frames=5)
    model = examine(REAL, extractor=Marks(), frames=5)
    assert [crop.frame for crop in found.crops] == [crop.frame for crop in model.crops]
    assert {crop.frame: crop.reason for crop in found.crops} == {
        0: "", 1: "", 2: f"the real frame has no crop: {NO_FACE}", 3: "", 4: NO_FRAME, 5: NO_FRAME
    }  # fmt: skip
    assert [crop.time for crop in found.crops[:4]] == [0.0, 0.1, 0.2, 0.3]
    assert found.frames_total == 4


def test_a_frame_that_only_the_real_clip_lacks_is_told(tmp_path: Path) -> None:
    """Frame 5 is only in the fake, frame 7 in neither."""
    real = clip("real", 5, label=0)
    made = extract([real, FAKE], tmp_path / "o", extractor=Marks(), crop="pair", order=[0, 5, 7])
    rows = made.table[made.table["label"] == 1]
    lacks = f"the real frame has no crop: {NO_FRAME}"
    assert list(zip(rows["frame"], rows["reason"], strict=True)) == [
        (0, ""),
        (5, lacks),
        (7, lacks),
    ]


def test_pictures_of_another_size_are_not_scaled_into_place() -> None:
    found = examine_twin(clip("fake", size=161), REAL, extractor=Marks())
    assert {crop.reason for crop in found.crops} == {
        "the frame has 200 x 161 px, and the real frame 200 x 160",
        f"the real frame has no crop: {NO_FACE}",
    }


def test_without_its_real_clip_a_fake_has_a_row_with_that_reason(tmp_path: Path) -> None:
    alone = replace(FAKE, video="alone", pair="gone")
    nameless = replace(FAKE, video="nameless", pair="")
    made = extract([REAL, alone, nameless], tmp_path / "out", extractor=Marks(), crop="pair")
    rows = made.table[made.table["label"] == 1]
    assert list(rows["path"]) == ["", ""]
    assert list(rows["frame"]) == [-1, -1]
    assert rows["reason"].iloc[0].startswith("its pair is 'gone', and no real clip of that pair")
    assert rows["reason"].iloc[1].startswith("it names no pair, and no real clip of that pair")
    assert set(made.meta["problems"]) == {"d/alone", "d/nameless"}
    with pytest.raises(MissingMedia, match=r"d/alone|no real clip of that pair is among"):
        extract([alone], tmp_path / "none", extractor=Marks(), crop="pair")


def test_a_real_clip_that_cannot_be_read_is_the_reason(tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video" * 99)
    real = replace(REAL, media=tmp_path / "broken.mp4")
    with pytest.raises(UnreadableMedia, match="the real clip real cannot be examined: its file"):
        examine_twin(FAKE, real, extractor=Marks())


def test_who_is_not_labelled_fake_is_cropped_by_its_own(tmp_path: Path) -> None:
    unknown = clip("unknown", label=-1)
    made = extract([REAL, unknown], tmp_path / "out", extractor=Marks(), crop="pair")
    of_unknown = made.table[made.table["label"] == -1]
    assert (of_unknown["path"] != "").all()
    assert of_unknown["confidence"].notna().all()


def region(left: int) -> np.ndarray:
    out = np.zeros((160, 200), bool)
    out[50:70, left : left + 20] = True
    return out


def test_the_mask_of_the_fake_has_to_reach_the_face_of_the_real_frame() -> None:
    masks = {0: region(50), 1: region(0), 3: np.zeros((160, 200), bool)}
    fake = clip("fake", masks=masks)
    for which, expected in (
        ("meant", {0: "", 1: OFF_MASK, 3: EMPTY_MASK, 4: ""}),
        ("mask", {0: "", 1: OFF_MASK, 3: EMPTY_MASK, 4: NO_MASK}),
        ("largest", {0: "", 1: "", 3: EMPTY_MASK, 4: ""}),
    ):
        found = examine_twin(fake, REAL, extractor=Marks(), which=which)  # type: ignore[arg-type]
        reasons = {crop.frame: crop.reason for crop in found.crops}
        assert {number: reasons[number] for number in expected} == expected, which


def test_each_person_of_the_real_clip_has_a_twin() -> None:
    class Two(Marks):
        def __call__(self, image: np.ndarray, /) -> list[Face]:
            faces = super().__call__(image)
            small = [
                replace(f, box=(150.0, 10.0, 180.0, 40.0), landmarks=f.landmarks / 4 + [145, 5])
                for f in faces
            ]
            return faces + small

    found = examine_twin(FAKE, REAL, extractor=Two(), which="all")
    model = examine(REAL, extractor=Two(), which="all")
    assert [(c.frame, c.track, c.box) for c in found.crops if c.box] == [
        (c.frame, c.track, c.box) for c in model.crops if c.box
    ]
    assert {crop.track for crop in found.faces} == {0, 1}


def test_whole_pictures_have_whole_twins() -> None:
    from gendkit.builtin.whole_frame import WholeFrame

    found = examine_twin(FAKE, REAL, extractor=WholeFrame())
    assert len(found.faces) == 6
    np.testing.assert_array_equal(found.crops[1].image, picture(1, fake=True))


def test_a_frame_that_the_fake_does_not_give_is_its_reason() -> None:
    def lacks() -> Iterator[Frame]:
        return (frame for frame in render(6, fake=True) if frame.index != 3)

    found = examine_twin(replace(FAKE, media=lacks), REAL, extractor=Marks())
    assert [crop.frame for crop in found.crops if crop.reason == NO_FRAME] == [3]


# Who is whose


def test_the_real_clip_is_found_by_dataset_pair_and_degradation() -> None:
    plain, jpeg = replace(REAL, video="a"), replace(REAL, video="a/jpeg", degradation="jpeg")
    other = replace(REAL, dataset="other", video="a")
    fakes = [
        replace(FAKE, video="f"),
        replace(FAKE, video="f/jpeg", degradation="jpeg"),
        replace(FAKE, video="f/blur", degradation="blur"),
        replace(FAKE, video="f", dataset="other"),
        replace(FAKE, video="none", pair="x"),
    ]
    found = real_twins([*fakes, plain, jpeg, other])
    assert list(found.values()) == [plain, jpeg, None, other, None]
    assert next(iter(found)) == ("d", "f")


def test_of_several_real_clips_it_is_the_one_that_is_called_as_the_pair() -> None:
    twice = [REAL, replace(REAL, video="again")]
    assert list(real_twins([FAKE, *twice]).values()) == [REAL]
    neither = [replace(REAL, video="one"), replace(REAL, video="two")]
    assert list(real_twins([FAKE, *neither]).values()) == [None]


def test_a_way_to_crop_that_there_is_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="crop is 'twin'; expected own or pair"):
        extract([REAL], tmp_path / "out", crop="twin")  # type: ignore[arg-type]

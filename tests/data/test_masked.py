"""A video with a video of masks: each frame brings its own, and what is amiss is told."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from gendkit.data.examine import examine
from gendkit.data.extract import extract
from gendkit.data.masked import MaskedVideo
from gendkit.data.which import EMPTY_MASK, NO_MASK
from gendkit.errors import UnreadableMedia
from gendkit.plugin import Clip

from .test_which import BOTH, LARGE, SMALL

HEIGHT, WIDTH = 96, 144


def write(path: Path, images: list[np.ndarray], *, crf: str = "23") -> Path:
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": crf})
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def drawn(number: int) -> np.ndarray:
    """A mask over the small face in even frames, and over the large one in odd ones."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    left, top, right, bottom = (int(edge) for edge in (LARGE if number % 2 else SMALL))
    image[top + 4 : bottom - 4, left + 4 : right - 4] = 255
    return image


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., MaskedVideo]:
    folder = tmp_path_factory.mktemp("masked")
    grey = [np.full((HEIGHT, WIDTH, 3), 4 * i, np.uint8) for i in range(20)]
    video = write(folder / "video.mp4", grey)

    def make(masks: list[np.ndarray], **options: str) -> MaskedVideo:
        path = folder / f"masks-{len(list(folder.iterdir()))}.mp4"
        return MaskedVideo(video=video, masks=write(path, masks, **options))

    return make


@pytest.fixture(scope="module")
def both(masked: Callable[..., MaskedVideo]) -> MaskedVideo:
    return masked([drawn(i) for i in range(20)])


def clip(media: MaskedVideo, label: int = 1) -> Clip:
    return Clip(video="v", media=media, dataset="d", label=label)


def test_each_frame_brings_its_own_mask(both: MaskedVideo) -> None:
    frames = list(both())
    assert [frame.index for frame in frames] == list(range(20))
    for frame in frames:
        assert frame.mask is not None
        expected = drawn(frame.index)[..., 0] > 0
        wrong = frame.mask != expected
        assert wrong.sum() / expected.sum() < 0.1, "but for the edges, which were compressed"
        assert not frame.mask[:10].any()
        assert frame.mask.dtype == bool


def test_the_manipulated_face_is_cropped_by_it(both: MaskedVideo) -> None:
    found = examine(clip(both), extractor=BOTH, which="mask")
    assert [crop.box for crop in found.crops] == [SMALL, LARGE] * 10
    assert found.frames_total == 20
    assert found.problem == ""
    largest = examine(clip(both), extractor=BOTH, which="largest", frames=4)
    assert {crop.box for crop in largest.crops} == {LARGE}


@pytest.mark.parametrize("crf", ["0", "40"])
def test_black_stays_black_though_it_was_compressed(
    masked: Callable[..., MaskedVideo], crf: str
) -> None:
    black = [np.zeros((HEIGHT, WIDTH, 3), np.uint8)] * 10
    media = masked([*[drawn(i) for i in range(10)], *black], crf=crf)
    found = examine(clip(media), extractor=BOTH)
    assert [crop.reason for crop in found.crops] == [""] * 10 + [EMPTY_MASK] * 10


def test_masks_that_end_early_are_told_and_the_rest_has_none(
    masked: Callable[..., MaskedVideo],
) -> None:
    found = examine(clip(masked([drawn(0)] * 12)), extractor=BOTH, which="mask")
    assert [crop.reason for crop in found.crops] == [""] * 12 + [NO_MASK] * 8
    assert found.problem == "it has 20 frames and masks for 12"


def test_masks_of_another_size_are_the_reason_of_each_frame(
    masked: Callable[..., MaskedVideo],
) -> None:
    found = examine(clip(masked([drawn(0)[:64]] * 20)), extractor=BOTH)
    assert {crop.reason for crop in found.crops} == {
        "the manipulation mask has the shape (64, 144), expected that of the image, (96, 144)"
    }


def test_masks_that_cannot_be_read_are_a_row_without_a_path_of_this_machine(
    both: MaskedVideo, tmp_path: Path
) -> None:
    broken = tmp_path / "masks.mp4"
    broken.write_bytes(b"no video" * 99)
    bad, gone = (MaskedVideo(video=both.video, masks=p) for p in (broken, tmp_path / "gone.mp4"))
    clips = [
        clip(both),
        Clip(video="bad", media=bad, dataset="d", label=1),
        Clip(video="gone", media=gone, dataset="d", label=1),
    ]
    made = extract(clips, tmp_path / "out", extractor=BOTH, frames=2)
    reasons = list(made.table["reason"][-2:])
    assert all("the file of its masks" in reason for reason in reasons)
    assert list(made.table["source_width"][:2]) == [WIDTH, WIDTH], "facts are the video's"
    assert made.table["source_bytes"][0] == both.video.stat().st_size
    assert not any(str(tmp_path) in reason or str(both.video) in reason for reason in reasons)
    with pytest.raises(UnreadableMedia, match="the file of its masks"):
        examine(clip(bad), extractor=BOTH)


def test_it_can_be_sent_to_another_process(both: MaskedVideo) -> None:
    assert pickle.loads(pickle.dumps(both)) == both

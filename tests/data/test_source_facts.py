"""What the manifest keeps of a clip's own file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from gendkit.data.columns import COLUMNS
from gendkit.data.extract import extract
from gendkit.data.source_facts import SourceFacts, file_columns
from gendkit.plugin import Clip, Face, Frame

SOURCE = {column.name for column in COLUMNS if column.name.startswith("source_")}


class Everywhere:
    threshold = 0.5

    def __call__(self, image: np.ndarray, /) -> list[Face]:
        height, width = image.shape[:2]
        points = np.array([[0.34, 0.46], [0.66, 0.46], [0.5, 0.64], [0.37, 0.82], [0.63, 0.82]])
        return [Face(box=(0, 0, width, height), landmarks=np.float32(points * height),
                     confidence=0.9)]  # fmt: skip


def noise(height: int = 48, width: int = 64) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def video(path: Path, *, codec: str = "libx264", rate: int = 20) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(10):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noise(), format="rgb24")))
        container.mux(stream.encode(None))
    return path


def clip(media: object, name: str = "a") -> Clip:
    return Clip(video=name, media=media, dataset="set", label=0)  # type: ignore[arg-type]


def test_of_a_video_the_stream_and_the_size_are_kept(tmp_path: Path) -> None:
    path = video(tmp_path / "a.mp4")
    assert file_columns(path) == {
        "source_width": 64, "source_height": 48, "source_codec": "h264",
        "source_pixel_format": "yuv420p", "source_frame_rate": pytest.approx(20),
        "source_duration": pytest.approx(0.5), "source_bytes": path.stat().st_size,
    }  # fmt: skip


def test_a_codec_has_its_own_name_whoever_wrote_or_reads_it(tmp_path: Path) -> None:
    assert file_columns(video(tmp_path / "a.avi", codec="mpeg4"))["source_codec"] == "mpeg4"
    path = video(tmp_path / "a.mkv", codec="libsvtav1")
    assert file_columns(path)["source_codec"] == "av1"


def test_of_a_jpeg_the_tables_are_kept_and_differ_by_quality(tmp_path: Path) -> None:
    found = []
    for quality in (50, 50, 90):
        Image.fromarray(noise()).save(tmp_path / "a.jpg", quality=quality)
        found.append(file_columns(tmp_path / "a.jpg"))
    assert found[0] == found[1]
    assert found[0]["source_codec"] == "jpeg"
    # At quality 50 the table of brightness is that of the standard (T.81, K.1), whose mean is 57.6.
    assert found[0]["source_quantisation"] == pytest.approx(57.625)
    assert found[2]["source_quantisation"] < 15
    assert found[0]["source_tables"] != found[2]["source_tables"]
    assert len(found[0]["source_tables"]) == 12
    Image.fromarray(noise()).save(tmp_path / "a.png")
    assert not {"source_quantisation", "source_tables"} & set(file_columns(tmp_path / "a.png"))


def test_of_a_file_that_cannot_be_read_the_size_is_known_and_of_none_nothing(
    tmp_path: Path,
) -> None:
    for name in ("a.mp4", "a.png"):
        (tmp_path / name).write_bytes(b"nothing of the kind")
        assert file_columns(tmp_path / name) == {"source_bytes": 19}
    assert file_columns(tmp_path / "b.mp4") == {}


def test_of_rendered_frames_the_size_is_known_once_they_were_seen() -> None:
    def render() -> Iterator[Frame]:
        yield Frame(index=0, image=noise(48, 64))

    facts = SourceFacts(clip(render))
    assert facts.columns() == {}
    assert [frame.index for frame in facts.clip.media()] == [0]  # type: ignore[operator]
    assert facts.columns() == {"source_width": 64, "source_height": 48}


def test_extraction_writes_them_into_each_row_even_of_a_clip_without_a_crop(
    tmp_path: Path,
) -> None:
    def render() -> Iterator[Frame]:
        yield Frame(index=0, image=noise(80, 80))

    (tmp_path / "broken.mp4").write_bytes(b"nothing")
    clips = [
        clip(video(tmp_path / "a.mp4")), clip(tmp_path / "broken.mp4", "b"), clip(render, "c")
    ]  # fmt: skip
    table = extract(clips, tmp_path / "out", extractor=Everywhere(), frames=2).table
    assert table["video"].tolist() == ["a", "a", "b", "c"]
    assert table["source_codec"].tolist() == ["h264", "h264", "", ""]
    assert table["source_width"].tolist() == [64, 64, -1, 80]
    assert table["source_bytes"].tolist()[2:] == [7, -1]
    assert table["source_duration"].isna().tolist() == [False, False, True, True]


def test_every_column_of_the_source_can_be_filled_and_tells_no_path(tmp_path: Path) -> None:
    Image.fromarray(noise()).save(tmp_path / "secret.jpg", comment=b"secret", dpi=(1, 1))
    found = {**file_columns(tmp_path / "secret.jpg"), **file_columns(video(tmp_path / "s.mp4"))}
    assert set(found) == SOURCE
    assert "secret" not in str(found)

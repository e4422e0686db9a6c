"""What containers state of themselves."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gendkit.data.container import container_facts, file_hash
from gendkit.errors import MissingMedia, UnreadableMedia


def test_a_video_states_its_streams(asset: Callable[[str], Path]) -> None:
    facts = container_facts(asset("carphone"))
    pictures = [s for s in facts["streams"] if s["kind"] == "pictures"]
    assert len(pictures) == 1
    assert pictures[0]["codec"] == "h264"
    assert (pictures[0]["width"], pictures[0]["height"]) == (176, 144)
    assert facts["duration"] == pytest.approx(120 / pictures[0]["frame_rate"], rel=0.05)
    assert "mp4" in facts["format"]


def test_a_picture_states_its_camera(tmp_path: Path) -> None:
    picture = Image.fromarray(np.zeros((20, 30, 3), np.uint8))
    exif = picture.getexif()
    exif[271], exif[305] = "<script>maker", "an editor"
    picture.save(tmp_path / "a.jpg", exif=exif)
    facts = container_facts(tmp_path / "a.jpg")
    assert facts["tags"] == {"make": "<script>maker", "software": "an editor"}
    assert facts["streams"][0]["width"] == 30
    assert facts["format"] == "jpeg"


def test_a_tag_that_is_no_unicode_is_read_all_the_same(tmp_path: Path) -> None:
    import av

    from gendkit.data.media import count_frames

    path = tmp_path / "a.avi"
    with av.open(path, "w") as container:
        container.metadata["title"] = "cafeX"
        stream = container.add_stream("mjpeg", rate=5)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuvj420p"
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    path.write_bytes(path.read_bytes().replace(b"cafeX", b"caf\xe9!"))
    assert container_facts(path)["tags"]["title"] == "caf\ufffd!"
    assert count_frames(path) == 3


def test_the_hash_is_of_the_bytes(tmp_path: Path) -> None:
    data = np.random.default_rng(0).bytes(3_000_000)
    (tmp_path / "a").write_bytes(data)
    assert file_hash(tmp_path / "a") == hashlib.sha256(data).hexdigest()


def test_what_is_not_there_or_no_media_is_refused(tmp_path: Path) -> None:
    for ask in (container_facts, file_hash):
        with pytest.raises(MissingMedia, match="no file"):
            ask(tmp_path / "none.mp4")
    for name in ("a.mp4", "a.png"):
        (tmp_path / name).write_bytes(b"nonsense")
        with pytest.raises(UnreadableMedia, match="copy or export it again"):
            container_facts(tmp_path / name)

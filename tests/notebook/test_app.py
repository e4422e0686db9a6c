"""The desk: a dropped file becomes a page; what cannot be examined is told in the zone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import ipywidgets
import pytest

import gendkit as gk
from gendkit.model.detector import Detector
from gendkit.notebook.app import Desk
from gendkit.testing.small import registered, small_backbone, small_crops, small_detector

# jupyter-scatter 1.0 itself uses what pandas 3.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword")


@pytest.fixture
def detector() -> Iterator[Detector]:
    spec = small_backbone()
    with registered(spec):
        yield small_detector(spec)


@pytest.fixture
def desk(detector: Detector, tmp_path: Path, asset: Callable[[str], Path]) -> Desk:
    pytest.importorskip("jscatter", reason="jupyter-scatter is not installed")
    asset("centerface")
    (tmp_path / "crops").mkdir()
    manifest = small_crops(tmp_path / "crops", identities=[f"p{i}" for i in range(8)], frames=2)
    gk.embed(manifest, detector, tmp_path / "r.zarr")
    return Desk(detector, tmp_path / "r.zarr", frames=2, draws=1)


def words(desk: Desk) -> list[str]:
    said: list[str] = []
    desk.drop.send = lambda message, buffers=None: said.append(message.get("words", ""))
    return said


def test_a_dropped_clip_becomes_a_page_that_can_be_saved(
    desk: Desk, asset: Callable[[str], Path]
) -> None:
    said = words(desk)
    desk._examine(asset("carphone"))
    assert desk.made is not None
    (shown,) = desk._page.children
    assert isinstance(shown, ipywidgets.HTML)
    saved = re.findall(r'download="([^"]+)"', shown.value)
    assert [Path(name).suffix for name in saved] == [".html", ".json"]
    assert "<iframe" in shown.value
    assert "is examined" in said[-1]


def test_what_is_no_media_is_told_and_the_zone_is_open_again(desk: Desk, tmp_path: Path) -> None:
    said = words(desk)
    file = tmp_path / "notes.mp4"
    file.write_text("no video")
    desk._examine(file)
    assert desk.made is None
    assert desk._page.children == ()
    assert "cannot be read as a video" in said[-1]
    assert str(tmp_path) not in said[-1]


def test_whatever_fails_the_zone_is_open_again(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the codec gave up")

    monkeypatch.setattr("gendkit.notebook.app.report", fail)
    heard: list[dict[str, str]] = []
    desk.drop.send = lambda message, buffers=None: heard.append(message)
    desk._examine(tmp_path / "a.mp4")
    assert heard[-1]["ask"] == "ready"
    assert "the codec gave up" in heard[-1]["words"]


def test_the_map_stands_beside(desk: Desk) -> None:
    (tabs,) = desk.children
    assert tabs.titles == ("A clip", "The sphere")
    assert len(tabs.children) == 2

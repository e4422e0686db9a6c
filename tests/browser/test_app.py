"""`gendkit app` in a browser: drop a file, get the page; nothing asks another machine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import gendkit as gk

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def detector_and_store(tmp_path: Path, asset: Callable[[str], Path]) -> tuple[Path, Path]:
    """A probe of drawn faces, and its reference."""
    for name in ("dinov2-vits14", "centerface", "carphone"):
        asset(name)
    faces = gk.dataset("synthetic", identities=24, clips=1, controls=False)
    crops = gk.extract(faces, tmp_path / "crops")
    train, development = (crops.in_split(split) for split in ("train", "development"))
    recipe = gk.Recipe.of("small-data", epochs=1, cycle_epochs=1)
    gk.fit(recipe, train, development, out=tmp_path / "run")
    gk.embed(train, tmp_path / "run", tmp_path / "reference.zarr")
    return tmp_path / "run", tmp_path / "reference.zarr"


@contextmanager
def served(adapter: Path, store: Path) -> Iterator[str]:
    """Run the command, and give the address that it says."""
    command = [
        sys.executable, "-m", "gendkit", "app", str(store), "--adapter", str(adapter),
        "--no-browser", "--frames", "4", "--draws", "1",
    ]  # fmt: skip
    server = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    )
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+/\?token=\S+", line)
        assert found, line
        yield found[0]
    finally:
        server.terminate()
        server.communicate(timeout=30)


def test_a_dropped_file_becomes_the_page_and_the_map_is_drawn(
    detector_and_store: tuple[Path, Path],
    asset: Callable[[str], Path],
    open_page,
    wait_until,
) -> None:
    import urllib.request

    adapter, store = detector_and_store
    with served(adapter, store) as url:
        wait_until(lambda: answers(url), seconds=60, what="the server answers")
        bare = url.partition("?")[0]
        with urllib.request.urlopen(bare) as answer:
            assert "login" in answer.url  # without the token there is only the question for it
        page, seen = open_page(url, wait="commit")
        zone = page.locator("text=Drop a picture or video")
        zone.wait_for(timeout=180_000)
        page.set_input_files("input[type=file]", str(asset("carphone")))
        page.locator("text=is examined; drop another file").wait_for(timeout=180_000)
        frame = page.frame_locator("iframe")
        frame.locator("h1", has_text="carphone").wait_for(timeout=30_000)
        assert frame.locator("h2", has_text="Person 1").count() == 1
        assert "gives no verdict" in frame.locator("header").inner_text()
        saved = page.locator("a[download$='.html']")
        assert saved.get_attribute("download") == "carphone_pristine.html"

        page.set_input_files("input[type=file]", files={
            "name": "notes.mp4", "mimeType": "video/mp4", "buffer": b"no video at all",
        })  # fmt: skip
        page.locator("text=cannot be read as a video").wait_for(timeout=60_000)

        page.locator(".lm-TabBar-tab", has_text="The sphere").click()
        page.locator(".gendkit-explorer canvas").first.wait_for(timeout=60_000)
        assert seen.errors == []
        assert seen.hosts == set()


def answers(url: str) -> bool:
    """Whether the server is there."""
    import urllib.request

    try:
        with urllib.request.urlopen(url.partition("?")[0], timeout=5):
            return True
    except OSError:
        return False

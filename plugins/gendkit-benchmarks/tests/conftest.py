"""Miniature trees: files without content, since clips are only listed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import miniatures
import pytest

import gendkit as gk
from gendkit.plugin import Clip

Made = Callable[..., Path]


@pytest.fixture
def tree(tmp_path: Path) -> Made:
    """Make empty files below the root and give the root."""

    def make(*names: str) -> Path:
        for name in names:
            path = tmp_path / "root" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("")
        return tmp_path / "root"

    return make


@pytest.fixture
def mini(tmp_path: Path) -> Made:
    """Make a miniature of a dataset of the table, with empty files for its media."""

    def make(name: str, *more: str, without: tuple[str, ...] = (), root: str = "root") -> Path:
        files = miniatures.TABLE[name]().items()
        left = {k: v for k, v in files if not any(part in k for part in without)}
        left |= dict.fromkeys(more, "")
        return miniatures.built(tmp_path / root, left, lambda path: path.write_text(""))

    return make


@pytest.fixture
def clips() -> Callable[..., dict[str, Clip]]:
    """List a dataset by the ids of its clips."""

    def listed(name: str, root: Path, **options: object) -> dict[str, Clip]:
        found = list(gk.dataset(name, root, **options).clips())
        assert len({clip.video for clip in found}) == len(found)
        return {clip.video: clip for clip in found}

    return listed

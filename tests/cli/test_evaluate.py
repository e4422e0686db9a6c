"""`gendkit evaluate`: a table, a page, and nothing the second time."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gendkit.testing.small import small_crops

Run = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("toys")


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("crops")
    small_crops(root, identities=("ann", "bob"), frames=2, split="development")
    return root


@pytest.fixture
def asked(adapter: Path, crops: Path, tmp_path: Path) -> tuple[Any, ...]:
    return (
        "evaluate", f"toy={adapter}", "--on", f"{crops}:development", f"mine={crops}", "--out",
        tmp_path / "out", "--resamples", 5,
    )  # fmt: skip


def test_the_second_time_nothing_is_computed(
    gendkit: Run, asked: tuple[Any, ...], tmp_path: Path
) -> None:
    said = gendkit(*asked)
    assert said.code == 0, said.err
    assert said.out.split()[0] == "detector"
    assert "small (4 clips)" in said.out.splitlines()[0]
    page = tmp_path / "out" / "result" / "benchmark.html"
    assert said.out.splitlines()[-1] == f"8 crops were scored; the page: {page}"  # the same, twice
    assert "It is not recorded which data took part in the training of toy." in said.err
    before = {f: f.stat().st_mtime_ns for f in (tmp_path / "out").rglob("*") if f.is_file()}
    again = gendkit(*asked)
    last = f"nothing was computed, the result was there already; the page: {page}"
    assert again.out.splitlines()[:-1] == said.out.splitlines()[:-1]
    assert again.out.splitlines()[-1] == last
    assert before == {f: f.stat().st_mtime_ns for f in (tmp_path / "out").rglob("*")
                      if f.is_file()}  # fmt: skip
    told = json.loads(gendkit(*asked, "--json").out)
    assert (told["scored"], told["kept"]) == (0, True)
    assert [row["dataset"] for row in told["results"]] == ["small", "mine"]
    assert told["results"][0].keys() >= {"auroc", "auroc_low", "clips_real", "selected_on"}
    assert told["datasets"][0]["manifests"][0]["splits"] == ["development"]
    page.unlink()
    assert "1 detector" in (gendkit(*asked), page.read_text())[1]


def test_what_cannot_be_is_one_line(
    gendkit: Run, adapter: Path, crops: Path, tmp_path: Path
) -> None:
    out = ("--out", tmp_path / "out")
    for given, code, words in (
        ((adapter, *out, "--on"), 2, "requires an argument"),
        (("--on", crops, adapter, *out), 2, "Missing argument"),
        ((f"={adapter}", "--on", crops, *out), 2, "expected [NAME=]PATH"),
        ((adapter, "--on", crops, "--alike", "a", *out), 2, "--alike takes two"),
        ((adapter, "--on", crops, crops, *out), 1, "two manifests hold the data set 'small'"),
        ((adapter, "--on", tmp_path / "gone", *out), 1, "no manifest at"),
    ):
        said = gendkit("evaluate", *given)
        assert said.code == code
        assert len(said.complaints) == 1
        assert words in said.complaints[0]
    assert not (tmp_path / "out").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis").touch()
    said = gendkit("evaluate", adapter, "--on", crops, "--out", tmp_path / "full")
    assert "holds other files" in said.err

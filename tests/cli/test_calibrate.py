"""`gendkit calibrate`, and `gendkit score --calibration`: evidence, or why there is none."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import gendkit as gk
from gendkit.plugin import Clip
from gendkit.testing.telling import telling

Run = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("toys")
PEOPLE = 44


def _picture(path: Path, *, fake: bool, seed: int, scale: float = 1.0) -> Path:
    """Write a bright picture; a fake is a little bluer."""
    rng = np.random.default_rng(seed)
    pixels = rng.normal(rng.uniform(110, 170), 20, (48, 64, 3))
    pixels[..., 2] += rng.normal(10 * fake, 5)
    picture = Image.fromarray(np.clip(pixels * scale, 0, 255).astype(np.uint8))
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
    return path


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("calibrate")


@pytest.fixture(scope="module")
def crops(toys: None, home: Path) -> Path:
    """Faces of 44 people for the calibration, and of 12 for the final split."""
    clips = [
        Clip(
            video=f"{'fake' if label else 'real'}-{i}",
            media=_picture(home / "media" / f"{label}-{i}.png", fake=bool(label), seed=10 * i),
            dataset="pictures",
            label=label,
            method="blue" if label else "",
            family="colour" if label else "",
            target_identity=f"person-{i}",
            split="development" if i < PEOPLE else "final",
        )
        for i in range(PEOPLE + 12)
        for label in (0, 1)
    ]
    gk.extract(clips, home / "crops", extractor="bright", time_limit=None)
    return home / "crops"


@pytest.fixture(scope="module")
def adapter(adapter: Path, crops: Path, home: Path) -> Path:
    """One whose head tells the blue pictures from the others."""
    told = telling(gk.load(adapter, device="cpu"), gk.Manifest.read(crops), strength=1.5)
    return told.adapter.write(home / "telling.safetensors")


@pytest.fixture(scope="module")
def calibration(adapter: Path, crops: Path, home: Path) -> Path:
    own = gk.Manifest.read(crops).in_split("development")
    made = gk.calibrate(own, gk.load(adapter, device="cpu"), name="crops:development")
    return made.calibration.write(home / "made" / "calibration.json")


def test_calibrate_shows_both_sets_and_writes_the_file_and_two_pictures(
    gendkit: Run, crops: Path, adapter: Path, calibration: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("GENDKIT_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "c.json"
    given = ("calibrate", f"{crops}:development", "--adapter", adapter, "--out", out)
    said = gendkit(*given, "--on", f"{crops}:final", "--device", "cpu")
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert lines[0].split()[:6] == ["clips", "real", "fake", "AUROC", "Cllr", "least"]
    assert lines[1].startswith(f"{crops}:development (left out in turn)")
    assert f"{crops}:final  " in lines[2]
    assert "%" in lines[2]
    assert "44 real and 44 fake clips (colour 44) of 44 groups of people of pictures" in said.out
    assert "44 independent real and 44 independent fake clips" in said.out
    found = gk.Calibration.read(out)
    assert found.likelihood == gk.Calibration.read(calibration).likelihood
    assert found.likelihood.slope > 0
    assert [check.own for check in found.checks] == [True, False]
    for name in ("tippett", "reliability"):
        with Image.open(tmp_path / f"c-{name}.png") as picture:
            assert picture.width > 800
    again = gendkit(*given)
    assert again.code == 1
    assert "already there" in again.err
    said = gendkit(*given, "--overwrite", "--alpha", 0.01, "--json", "--device", "cpu")
    assert said.code == 0, said.err
    result = json.loads(said.out)
    assert result["conformal"]["alpha"] == 0.01
    assert result["population"]["name"] == f"{crops}:development"
    assert "points" not in result["likeness"]
    assert result["digest"] == gk.Calibration.read(out).digest


@pytest.mark.parametrize(
    ("given", "code", "words"),
    [
        ((":final", "--out", "c.json"), 1, "rows of the final split"),
        ((":development", "--out", "c.txt"), 2, "written as NAME.json"),
        ((":development", "--out", "c.json", "--alpha", 0), 2, "--alpha"),
        ((":development", "--out", "c.json", "--beta", 1), 2, "--beta"),
        ((":elsewhere", "--out", "c.json"), 1, "elsewhere"),
    ],
)
def test_what_is_impossible_is_one_line(
    gendkit: Run, crops: Path, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    given: tuple[Any, ...], code: int, words: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    said = gendkit("calibrate", f"{crops}{given[0]}", "--adapter", adapter, *given[1:])
    assert said.code == code
    assert words in said.err
    assert len(said.complaints) == 1
    assert list(tmp_path.iterdir()) == []


def _score(gendkit: Run, adapter: Path, calibration: Path, *more: object) -> Any:
    given = ("score", "--adapter", adapter, "--calibration", calibration, "--device", "cpu")
    return gendkit(*given, *more)


def test_a_file_like_the_clips_has_a_ratio_and_a_decision(
    gendkit: Run, adapter: Path, calibration: Path, tmp_path: Path
) -> None:
    picture = _picture(tmp_path / "blue.png", fake=True, seed=33)
    said = _score(gendkit, adapter, calibration, picture)
    assert said.code == 0, said.err
    head, row, about, *notes = said.out.splitlines()
    assert head.split()[:5] == ["file", "score", "log10", "LR", "decision"]
    found = gk.Calibration.read(calibration)
    score = float(row.split()[1])
    assert float(row.split()[2]) == pytest.approx(found.likelihood([score])[0], abs=0.02)
    assert "support for " in row
    assert about.startswith("LR: how many times as likely such a score is among fakes as among")
    assert "44 real and 44 fake clips" in about
    assert "ENFSI" in about
    assert all(note.startswith("Note: ") for note in notes)
    (record,) = json.loads(_score(gendkit, adapter, calibration, picture, "--json").out)
    (evidence,) = record["evidence"]
    assert evidence["log10_lr"] == pytest.approx(found.likelihood([record["score"]])[0], abs=1e-9)
    assert evidence["decision"] in ("fake", "cannot tell", "real")
    assert evidence["reasons"] == []
    assert record["population"] == str(found.population)
    said = _score(gendkit, adapter, calibration, picture, "--csv")
    (line,) = csv.DictReader(io.StringIO(said.out))
    assert float(line["log10_lr"]) == evidence["log10_lr"]
    assert (line["decision"], line["not_validated"]) == (evidence["decision"], "")
    assert line["support"] == evidence["support"]


def test_a_file_unlike_the_clips_is_not_validated_and_has_no_number(
    gendkit: Run, adapter: Path, calibration: Path, tmp_path: Path
) -> None:
    """Half as bright; of the file without a face nothing is said at all."""
    dim = _picture(tmp_path / "dim.png", fake=True, seed=33, scale=0.52)
    dark = _picture(tmp_path / "dark.png", fake=True, seed=33, scale=0.1)
    said = _score(gendkit, adapter, calibration, dark, dim)
    assert said.code == 1
    _, first, second, *_ = said.out.splitlines()
    assert "not examined" in first
    assert second.split()[2:4] == ["not", "validated"]
    assert second.split()[4] == "-"
    assert "brightness " in second
    assert "validated from" in second
    records = json.loads(_score(gendkit, adapter, calibration, dark, dim, "--json").out)
    assert records[0]["evidence"] == []
    (evidence,) = records[1]["evidence"]
    assert evidence["log10_lr"] is evidence["p_real"] is None
    assert evidence["decision"] == evidence["support"] == "not validated"
    said = _score(gendkit, adapter, calibration, dim, "--csv")
    (line,) = csv.DictReader(io.StringIO(said.out))
    assert line["log10_lr"] == ""
    assert line["decision"] == "not validated"
    assert "brightness" in line["not_validated"]


def test_another_extractor_or_dtype_is_not_validated(
    gendkit: Run, adapter: Path, calibration: Path, tmp_path: Path
) -> None:
    picture = _picture(tmp_path / "blue.png", fake=True, seed=33)
    said = _score(gendkit, adapter, calibration, picture, "--dtype", "bfloat16")
    assert "computed in bfloat16, validated in float32" in said.out
    said = _score(gendkit, adapter, calibration, picture, "--extractor", "whole-frame")
    assert "extractor whole-frame, validated with bright" in said.out


def test_a_calibration_of_another_adapter_is_refused_before_anything_is_scored(
    gendkit: Run, adapter: Path, calibration: Path, crops: Path, tmp_path: Path
) -> None:
    other = telling(gk.load(adapter, device="cpu"), gk.Manifest.read(crops), strength=4)
    strange = other.adapter.write(tmp_path / "other.safetensors")
    picture = _picture(tmp_path / "blue.png", fake=True, seed=33)
    said = _score(gendkit, strange, calibration, picture)
    assert (said.code, said.out) == (1, "")
    assert "the calibration is of the adapter" in said.complaints[0]
    said = _score(gendkit, adapter, tmp_path / "none.json", picture)
    assert "no calibration at" in said.complaints[0]
    said = _score(gendkit, adapter, calibration, picture, "--per-frame")
    assert said.code == 2
    assert "--calibration without --per-frame" in said.complaints[0]

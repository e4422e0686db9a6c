"""The section of a clip report on what the score is worth: a ratio that is explained, or none."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import gendkit as gk
from gendkit.errors import InvalidCalibration, MissingMedia
from gendkit.model.detector import Detector
from gendkit.pages.clip_strength import MEANING, _plain, strength
from gendkit.testing.small import registered, small_backbone, small_crops, small_detector
from gendkit.testing.telling import telling

FEW: dict[str, Any] = {"frames": 2, "draws": 1, "k": 2}
ABOUT: dict[str, Any] = {
    "population": "40 real and 40 fake clips of <b>",
    "likelihood": {"low": -1.5, "high": 1.4},
    "limits": ["of the calibration's clips sharpness alone tells"],
    "checks": [
        {"name": "own", "own": True, "reals": 40, "fakes": 40, "auroc": 0.9, "cllr": 0.3,
         "cllr_interval": [0.2, 0.4], "cllr_min": 0.25},
        {"name": "other", "own": False, "reals": 0, "fakes": 9, "auroc": None, "cllr": None,
         "cllr_interval": None, "cllr_min": None},
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("strength")


@pytest.fixture(scope="module")
def detector(home: Path) -> Iterator[Detector]:
    spec = small_backbone()
    (home / "crops").mkdir()
    manifest = small_crops(
        home / "crops", identities=[f"p{i}" for i in range(12)], frames=2, split="development"
    )
    with registered(spec):
        yield telling(small_detector(spec), manifest)


@pytest.fixture(scope="module")
def files(home: Path, detector: Detector, asset: Callable[[str], Path]) -> dict[str, Path]:
    """All that a report takes."""
    asset("centerface")
    manifest = gk.Manifest.read(home / "crops")
    gk.embed(manifest, detector, home / "reference.zarr")
    made = gk.calibrate(manifest, detector, name="crops")
    return {
        "media": Path(shutil.copy(asset("carphone"), home / "carphone.mp4")),
        "adapter": detector.adapter.write(home / "adapter.safetensors"),
        "reference": home / "reference.zarr",
        "calibration": made.calibration.write(home / "calibration.json"),
    }


def _text(page: object) -> str:
    return " ".join(re.sub("<[^>]*>", " ", str(page)).split())


def _found(**changes: Any) -> dict[str, Any]:
    usual = {
        "log10_lr": 1.36, "at_bound": False, "support": "moderate support for fake over real",
        "reasons": [], "novelty_p": 0.5,
    }  # fmt: skip
    return usual | changes


def test_a_ratio_is_said_in_words_and_explained() -> None:
    page = strength(_found(), ABOUT)
    text = _text(page)
    assert "Moderate support for fake over real. The likelihood ratio is 23 (log10 +1.36)" in text
    assert MEANING in text
    assert "ENFSI" in text
    assert "They support ratios from 1/32 to 25." in text
    assert "Of the calibration's clips sharpness alone tells." in text
    assert "own, left out in turn 40 40 0.900 0.300 (0.200 to 0.400) 0.250" in text
    assert "other 0 9 – – –" in text
    assert "&lt;b&gt;" in str(page)
    assert "at the bound of what the calibration’s clips support" not in text
    assert "at the bound of what the calibration’s clips support" in _text(
        strength(_found(at_bound=True), ABOUT)
    )


def test_what_is_not_validated_has_no_number() -> None:
    found = _found(log10_lr=None, support="not validated", reasons=["eyes 8 px apart", "<i>"])
    page = strength(found, ABOUT)
    assert "Not validated, so that no number is given" in _text(page)
    assert "eyes 8 px apart; &lt;i&gt;." in str(page)
    assert "The likelihood ratio is" not in _text(page)


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (0.0, "1"),
        (0.3, "2"),
        (1.0, "10"),
        (-1.0, "1/10"),
        (3.1, "1,300"),
        (-0.02, "1"),
        (-0.1, "1/1.3"),
    ],
)
def test_a_ratio_is_one_that_people_can_read(ratio: float, text: str) -> None:
    assert _plain(ratio) == text


@pytest.mark.slow
def test_the_report_has_it_and_comes_out_again(files: dict[str, Path], tmp_path: Path) -> None:
    given = [files[name] for name in ("media", "adapter", "reference")]
    made = gk.report(*given, calibration=files["calibration"], **FEW)
    (track,) = made.record["tracks"]
    assert track["strength"]["log10_lr"] is None, "a clip of a man is unlike crops of noise"
    assert track["strength"]["reasons"]
    about = made.record["calibration"]
    assert about["sha256"] == gk.Calibration.read(files["calibration"]).digest
    assert made.record["inputs"]["calibration"] == str(files["calibration"])
    page, record = made.write(tmp_path / "clip.html")
    text = _text(page.read_text())
    assert "Strength of evidence Not validated" in text
    assert about["sha256"] in text
    assert gk.verify(page).holds
    moved = Path(shutil.move(files["calibration"], tmp_path / "moved.json"))
    try:
        with pytest.raises(MissingMedia, match="the report's calibration is not at"):
            gk.verify(record)
        assert gk.verify(record, calibration=moved).holds
    finally:
        shutil.move(moved, files["calibration"])
    changed = json.loads(record.read_text())
    changed["tracks"][0]["strength"]["log10_lr"] = 3.0
    record.write_text(json.dumps(changed))
    found = gk.verify(record)
    assert not found.holds
    assert any("strength.log10_lr" in str(d) for d in found.failures)


def test_without_a_calibration_a_report_says_nothing_of_it(files: dict[str, Path]) -> None:
    made = gk.report(*(files[name] for name in ("media", "adapter", "reference")), **FEW)
    assert "calibration" not in made.record
    assert "Strength of evidence" not in made.page()


def test_a_calibration_of_another_adapter_is_refused(
    files: dict[str, Path], detector: Detector
) -> None:
    other = telling(detector, gk.Manifest.read(files["reference"].parent / "crops"), strength=3)
    with pytest.raises(InvalidCalibration, match="is of the adapter"):
        gk.report(
            files["media"], other, files["reference"], calibration=files["calibration"], **FEW
        )

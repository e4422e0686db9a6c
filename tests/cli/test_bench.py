"""`gendkit bench`: what it prints."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gendkit.cli.bench import _verdict
from gendkit.testing.small import registered, small_backbone, small_crops
from gendkit.train.bench import Bench

Run = Callable[..., Any]
RECIPE = """
name: tiny
backbone: small
dtype: float32
batch_size: 4
augmentation: {augmentation}
selection: {{data: none}}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(RECIPE.format(augmentation="light"))
    return path


@pytest.fixture(autouse=True)
def small() -> Any:
    with registered(small_backbone()):
        yield


def test_it_prints_speed_memory_parts_and_a_verdict(
    gendkit: Run, recipe: Path, tmp_path: Path
) -> None:
    crops = tmp_path / "crops"
    crops.mkdir()
    small_crops(crops)
    said = gendkit("bench", recipe, "--data", crops, "--device", "cpu", "--steps", "2")
    assert (said.code, said.complaints) == (0, [])
    lines = said.out.splitlines()
    first = [line.split()[0] for line in lines if line]
    assert first[:6] == ["recipe", "device", "crops", "images", "products", "peak"]
    assert first[6:14] == [
        "part", "waiting", "normalising", "forward", "losses", "backward", "optimiser", "the"
    ]  # fmt: skip
    assert "32 crops; augmentation light; " in said.out
    assert "The loader keeps up" in said.out or "Crops come too slowly" in said.out
    assert max(map(len, lines)) <= 120


def test_as_json_it_is_one_document(gendkit: Run, recipe: Path) -> None:
    said = gendkit("bench", recipe, "--device", "cpu", "--steps", "1", "--set", "batch_size=2",
                   "--json")  # fmt: skip
    values = json.loads(said.out)
    assert values["batch_size"] == 2
    assert values["images_per_second"] > 0
    assert values["drawn"] is True


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (("small-dat",), 1, "no recipe is named 'small-dat'"),
        (("small-data", "--data", "nowhere"), 1, "nowhere"),
        (("small-data", "--steps", "0"), 2, "--steps"),
        (("small-data", "--device", "tpu"), 2, "'tpu' cannot be used here"),
        (("small-data", "--set", "colour=3"), 1, "unknown field 'colour'"),
    ],
)
def test_nonsense_is_refused_in_one_line(
    arguments: tuple[str, ...], code: int, complaint: str, gendkit: Run
) -> None:
    said = gendkit("bench", *arguments)
    assert (said.code, said.out) == (code, "")
    assert len(said.complaints) == 1
    assert complaint in said.complaints[0]


@pytest.fixture
def starved() -> Bench:
    return Bench(
        recipe="r", backbone="b", image_size=8, tuning="lora", batch_size=4, dtype="float32",
        augmentation="gend",
        device="cuda", device_name="a GPU", threads=2, compiled=False, crops="9 crops", drawn=False,
        packed=False, workers=2, steps=1,
        images_per_second=10.0, loader_images_per_second=11.0, waiting=0.63, milliseconds={},
        flops_per_image=1.0, flops=10.0, machine_flops=100.0, peak_bytes=None,
    )  # fmt: skip


def test_a_starved_step_is_told_with_what_may_help(starved: Bench) -> None:
    text = _verdict(starved)
    assert text.startswith("Crops come too slowly: a step waits 63% of its time.")
    assert "--pack" in text
    assert "gend-batched" in text
    assert "gend-batched" not in _verdict(replace(starved, augmentation="light"))
    assert "augmentation=none-batched,jpeg:60," in _verdict(
        replace(starved, augmentation="jpeg:60")
    )
    assert "--pack" not in _verdict(replace(starved, packed=True))
    assert "--pack" not in _verdict(replace(starved, drawn=True))
    fed = _verdict(replace(starved, waiting=0.049))
    assert fed == "The loader keeps up: a step waits 5% of its time for crops."

"""The bench times real steps, part by part, and sees a loader that starves them."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import torch

from gendkit.data.manifest import Manifest
from gendkit.errors import InvalidArgument, InvalidManifest
from gendkit.testing.small import DIM, PATCH, SIDE
from gendkit.train.bench import NORMALISING, WAITING, WARM_UP, Bench, bench, product_flops
from gendkit.train.recipe import Recipe
from gendkit.train.trainer import PARTS

from .conftest import Sets


@pytest.fixture
def found(recipe: Recipe, sets: Sets) -> Bench:
    return bench(recipe, sets.train, device="cpu", steps=4)


def test_the_parts_are_those_of_a_step_and_make_up_its_time(found: Bench) -> None:
    assert tuple(found.milliseconds) == (WAITING, NORMALISING, *PARTS)
    assert all(ms >= 0 for ms in found.milliseconds.values())
    assert found.milliseconds["forward"] > found.milliseconds["optimiser"] > 0
    whole = 1000 * found.batch_size / found.images_per_second
    assert sum(found.milliseconds.values()) == pytest.approx(whole, rel=0.9)


def test_what_was_trained_and_where_is_told(found: Bench, recipe: Recipe) -> None:
    assert (found.recipe, found.backbone, found.image_size) == ("tiny", "small", SIDE)
    assert (found.batch_size, found.dtype, found.augmentation) == (8, "float32", "light")
    assert (found.device, found.steps, found.compiled) == ("cpu", 4, False)
    assert found.crops == "32 crops"
    assert found.peak_bytes is None or found.peak_bytes > 1e8
    assert found.threads == torch.get_num_threads()


def test_a_loader_that_is_slow_is_seen(
    recipe: Recipe, sets: Sets, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, never = Manifest.crop, Event()

    def slow(manifest: Manifest, row: int) -> Any:
        never.wait(0.02)  # a disk that takes its time
        return read(manifest, row)

    monkeypatch.setattr(Manifest, "crop", slow)
    monkeypatch.setattr("gendkit.data.loader.CACHE_BYTES", 0)
    found = bench(recipe, sets.train, device="cpu", steps=4)
    assert found.starved
    assert found.waiting > 0.5
    assert found.milliseconds[WAITING] > 0.5 * sum(found.milliseconds.values())
    assert found.loader_images_per_second == pytest.approx(2 / 0.02, rel=0.5)  # of two threads


def test_products_of_the_encoder_are_counted(recipe: Recipe, sets: Sets) -> None:
    tokens, depth, grid = 1 + (SIDE // PATCH) ** 2, 2, (SIDE // PATCH) ** 2
    patches = 2 * grid * DIM * 3 * PATCH**2
    linear, attention = 2 * tokens * 12 * DIM**2, 2 * tokens**2 * DIM
    probe = bench(Recipe.of(recipe, tuned_norms=0), sets.train, device="cpu", steps=1)
    assert probe.flops_per_image == patches + depth * (linear + 2 * attention)
    tuned = bench(recipe, sets.train, device="cpu", steps=1)
    backward = tuned.flops_per_image - probe.flops_per_image
    assert backward == depth * (linear + 5 * attention)  # the weights of attention are made again
    assert tuned.flops == pytest.approx(tuned.flops_per_image * tuned.images_per_second)


def test_products_are_timed_in_the_compute_dtype(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gendkit.train.bench.LARGEST", 1024)
    seen: list[torch.dtype] = []
    product = torch.matmul

    def watched(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        seen.append(a.dtype)
        return product(a, b)

    monkeypatch.setattr(torch, "matmul", watched)
    for dtype in ("float32", "bfloat16"):
        assert product_flops("cpu", dtype) > 1e8
    assert set(seen[:5]) == {torch.float32}
    assert set(seen[5:]) == {torch.bfloat16}


def test_without_crops_it_draws_and_leaves_none(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    steps: list[tuple[int, int]] = []
    found = bench(
        Recipe.of(recipe, batches="paired"),
        device="cpu",
        steps=2,
        progress=lambda done, total, _: steps.append((done, total)),
    )
    assert found.crops == "32 drawn faces, PNG"
    assert not list(tmp_path.iterdir())
    total = 3 * 2 + WARM_UP
    assert steps == [(i + 1, total) for i in range(total)]


def test_packed_crops_are_said_to_be_so(recipe: Recipe, sets: Sets, tmp_path: Path) -> None:
    packed = sets.train.pack()
    try:
        assert bench(recipe, packed, device="cpu", steps=1).crops == "32 crops, packed"
    finally:
        for path in set(sets.train.root.iterdir()) - {sets.train.root / "manifest.parquet"}:
            if path.is_file():
                path.unlink()


def test_its_values_are_a_json_document(found: Bench) -> None:
    values = json.loads(json.dumps(found.as_dict()))
    assert values["milliseconds"] == dict(found.milliseconds)
    assert values["starved"] is found.starved
    assert set(values) == {*Bench.__dataclass_fields__, "starved"}


def test_what_cannot_be_timed_is_refused(recipe: Recipe, sets: Sets) -> None:
    with pytest.raises(InvalidArgument, match="steps is 0"):
        bench(recipe, sets.train, steps=0)
    with pytest.raises(InvalidArgument, match="device 'tpu' cannot be used here"):
        bench(recipe, sets.train, device="tpu")
    empty = sets.train.where(sets.train.table["path"] == "nowhere")
    with pytest.raises(InvalidManifest, match="no face crop"):
        bench(recipe, empty)


@pytest.mark.slow
def test_compiled_steps_are_timed_too(recipe: Recipe, sets: Sets) -> None:
    plain = bench(recipe, sets.train, device="cpu", steps=1)
    found = bench(recipe, sets.train, device="cpu", steps=1, compile=True)
    assert found.compiled
    assert found.flops_per_image == plain.flops_per_image


@pytest.mark.gpu
def test_on_a_gpu_the_peak_is_that_of_its_tensors(recipe: Recipe, sets: Sets) -> None:
    found = bench(recipe, sets.train, device="cuda", steps=2)
    assert found.device_name == torch.cuda.get_device_name()
    assert found.peak_bytes == torch.cuda.max_memory_allocated()

"""The bench times real steps, part by part, and counts their products."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from gendkit.errors import Diverged, InvalidArgument, InvalidManifest
from gendkit.processes import cores
from gendkit.testing.small import DIM, PATCH, SIDE, small_crops
from gendkit.train import bench as module
from gendkit.train.bench import NORMALISING, WAITING, WARM_UP, Bench, bench, product_flops
from gendkit.train.recipe import Recipe
from gendkit.train.trainer import PARTS

from .conftest import Sets


@pytest.fixture
def found(recipe: Recipe, sets: Sets) -> Bench:
    return bench(recipe, sets.train, device="cpu", steps=4)


class Ticks:
    """A clock that goes on by a second each time it is looked at."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        self.now += 1.0
        return self.now


@pytest.fixture
def ticks(monkeypatch: pytest.MonkeyPatch) -> Ticks:
    clock = Ticks()
    monkeypatch.setattr(module, "time", clock)
    return clock


class Steps:
    """Stands in for a trainer on the CPU; each part of a step takes a look at the clock."""

    device = "cpu"

    def __init__(self, ended: Callable[[str], None] = lambda part: None) -> None:
        self.ended = ended
        self.loss = 0.5

    def step(self, pixels: Any, columns: Any, rows: Any) -> dict[str, float]:
        for part in PARTS:
            self.ended(part)
        return {"loss": self.loss}


def batches(*waited: float) -> list[Any]:
    return [SimpleNamespace(pixels=None, rows=None, waited=w) for w in waited]


def told() -> Any:
    return module._Told(lambda *_: None, 9)


def test_each_part_is_given_its_own_time_and_what_was_waited_is_apart(ticks: Ticks) -> None:
    clock = module._Clock("cpu")
    clock.time(Steps(clock.ended), batches(0.25, 0.5), {}, told())
    assert clock.seconds == {
        WAITING: 0.75, NORMALISING: 2 - 0.75, **dict.fromkeys(PARTS, 2.0)
    }  # fmt: skip
    assert ticks.now == 1 + 2 * (1 + len(PARTS) + 1)  # and what was told is nobody's


def test_parts_are_not_timed_before_the_clock_is_on(ticks: Ticks) -> None:
    clock = module._Clock("cpu")
    Steps(clock.ended).step(None, None, None)
    assert ticks.now == 0
    assert set(clock.seconds.values()) == {0.0}


def test_a_step_that_diverges_is_not_timed() -> None:
    steps = Steps()
    steps.loss = float("nan")
    with pytest.raises(Diverged, match="cannot be timed"):
        module._Clock("cpu").time(steps, batches(0.0), {}, told())


def test_the_parts_are_those_of_a_step(found: Bench) -> None:
    assert tuple(found.milliseconds) == (WAITING, NORMALISING, *PARTS)
    assert all(ms > 0 for ms in found.milliseconds.values())
    whole = sum(found.milliseconds.values())
    assert found.images_per_second == pytest.approx(1000 * found.batch_size / whole)
    assert found.waiting == pytest.approx(found.milliseconds[WAITING] / whole)
    assert min(found.images_per_second, found.loader_images_per_second, found.machine_flops) > 0


def test_steps_that_wait_for_more_than_a_twentieth_are_starved(found: Bench) -> None:
    assert replace(found, waiting=0.051).starved
    assert not replace(found, waiting=0.049).starved


def test_what_was_trained_and_where_is_told(found: Bench, recipe: Recipe) -> None:
    assert (found.recipe, found.backbone, found.image_size) == ("tiny", "small", SIDE)
    assert (found.batch_size, found.dtype, found.augmentation) == (8, "float32", "light")
    assert (found.device, found.steps, found.compiled) == ("cpu", 4, False)
    assert (found.crops, found.drawn, found.packed) == ("32 crops", False, False)
    assert found.workers == min(cores(), 4)
    assert found.peak_bytes is None or found.peak_bytes > 1e8
    assert found.threads == torch.get_num_threads()


def test_products_of_a_step_are_counted(recipe: Recipe, sets: Sets) -> None:
    tokens, depth, grid = 1 + (SIDE // PATCH) ** 2, 2, (SIDE // PATCH) ** 2
    patches = 2 * grid * DIM * 3 * PATCH**2
    linear, attention = 2 * tokens * 12 * DIM**2, 2 * tokens**2 * DIM
    head = 3 * 2 * DIM * 2  # forward, to the embeddings and to its own weights
    forward, backward = (depth * (linear + k * attention) for k in (2, 5))

    def flops(loss: str = "cross-entropy", **changes: Any) -> Bench:
        alone = Recipe.of(recipe, losses={loss: 1.0}, **changes)
        return bench(alone, sets.train, device="cpu", steps=1)

    assert flops(tuned_norms=0).flops_per_image == patches + forward + head
    tuned = flops()
    assert tuned.flops_per_image == patches + forward + backward + head
    assert tuned.flops == pytest.approx(tuned.flops_per_image * tuned.images_per_second)
    # A mean over crops is embedded once; where the loss needs the whole batch, twice.
    assert flops(micro_batch=4).flops_per_image == tuned.flops_per_image
    whole, cached = (flops("alignment", **changes) for changes in ({}, {"micro_batch": 4}))
    assert cached.flops_per_image - whole.flops_per_image == pytest.approx(patches + forward)


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
    assert (found.crops, found.drawn) == ("32 drawn faces", True)
    assert not list(tmp_path.iterdir())
    total = 2 * (2 + WARM_UP)
    assert steps == [(i + 1, total) for i in range(total)]


def test_packed_crops_are_said_to_be_so(recipe: Recipe, tmp_path: Path) -> None:
    assert bench(recipe, small_crops(tmp_path).pack(), device="cpu", steps=1).packed


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
def test_on_a_gpu_the_peak_is_that_of_the_steps(recipe: Recipe, sets: Sets) -> None:
    earlier = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    del earlier
    found = bench(recipe, sets.train, device="cuda", steps=2)
    assert found.device_name == torch.cuda.get_device_name()
    assert found.peak_bytes is not None
    assert 0 < found.peak_bytes < 1 << 30

"""How fast a recipe trains on this machine, and what its steps wait for.

The steps are those of `fit`, on random weights: what is learned from them is time alone.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from gendkit.data.drawn import draw_face
from gendkit.data.loader import AHEAD, THREADS, Batch, Loader
from gendkit.data.manifest import Manifest
from gendkit.data.png import encode_png
from gendkit.device import (
    Dtype,
    check_compiler,
    compute,
    device_name,
    forget_peak,
    peak_bytes,
    usable,
    wait_for,
)
from gendkit.errors import Diverged, InvalidManifest
from gendkit.markup import card, grid, number, visible
from gendkit.model.batches import check_positive
from gendkit.processes import cores
from gendkit.progress import Progress, silent
from gendkit.train.build import build_trainer
from gendkit.train.recipe import Recipe
from gendkit.train.trainer import PARTS, Trainer, columns_of

FACES, SIDE = 32, 256
WARM_UP = AHEAD + 1  # the batches that are ready before the first step are among these
STARVED = 0.05
PRODUCT_SECONDS, LARGEST = 0.1, 8192
WAITING, NORMALISING = "waiting", "normalising"
Columns = Mapping[str, NDArray[Any]]
Shape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What was measured.

    Attributes
    ----------
    recipe, backbone, image_size, tuning, batch_size, dtype, augmentation
        What was trained.
    device, device_name, threads
        Where; threads of the CPU.
    compiled
        Whether torch compiled the encoder.
    crops
        What they are.
    drawn, packed
        Whether they were drawn here for want of others, and whether they lie in a pack.
    workers
        Threads that read and augment them.
    steps
        How many were timed.
    images_per_second
        Of the steps, with the loader running beside them and the device being waited for after each
        part.
    loader_images_per_second
        Of the loader alone, from the same batch on.
    waiting
        Share of the steps' time in which they waited for crops.
    milliseconds
        Of a step's parts: `waiting` for crops, `normalising` (with the augmentation where that is
        of whole batches on the device) and `gendkit.train.trainer.PARTS`.
    flops_per_image
        Operations of products in one step, a multiplication and an addition counted as two. Of
        attention on MPS torch does not tell.
    flops, machine_flops
        Such operations a second, of the steps and of a product of two large square matrices.
    peak_bytes
        See `gendkit.device.peak_bytes`.
    """

    recipe: str
    backbone: str
    image_size: int
    tuning: str
    batch_size: int
    dtype: str
    augmentation: str
    device: str
    device_name: str
    threads: int
    compiled: bool
    crops: str
    drawn: bool
    packed: bool
    workers: int
    steps: int
    images_per_second: float
    loader_images_per_second: float
    waiting: float
    milliseconds: Mapping[str, float]
    flops_per_image: float
    flops: float
    machine_flops: float
    peak_bytes: int | None

    @property
    def starved(self) -> bool:
        """Whether steps wait for crops for more than a twentieth of their time."""
        return self.waiting > STARVED

    def __repr__(self) -> str:
        return visible(
            f"Bench({self.recipe}, {self.device_name}: {self.images_per_second:.1f} images a "
            f"second, {self.waiting:.0%} of the time waiting for crops)"
        )

    def _repr_html_(self) -> str:
        facts = {
            "recipe": f"{self.recipe}: {self.tuning} of {self.backbone} at {self.image_size} px, "
            f"batches of {self.batch_size}, {self.dtype}",
            "device": f"{self.device}: {self.device_name}",
            "images a second": number(self.images_per_second, digits=1),
            "of the loader alone": number(self.loader_images_per_second, digits=1),
            "waiting for crops": f"{self.waiting:.0%} of the time",
        }
        return card("Bench", facts, grid(["part of a step", "ms"], self.milliseconds.items()))

    def as_dict(self) -> dict[str, Any]:
        """Return all values, and `starved`, for a JSON document."""
        return {**asdict(self), "starved": self.starved}


class _Told:
    """Counts what a progress is told."""

    def __init__(self, progress: Progress, total: int) -> None:
        self.progress, self.total, self.done = progress, total, 0

    def __call__(self, text: str) -> None:
        self.done += 1
        self.progress(self.done, self.total, f"bench: {text}")


class _Clock:
    """Sums the time of the parts of steps, once it is on."""

    def __init__(self, device: str) -> None:
        self.device, self.on, self._last = device, False, 0.0
        self.seconds = dict.fromkeys((WAITING, NORMALISING, *PARTS), 0.0)

    def ended(self, part: str) -> None:
        """Count the time since the last part ended as this one's."""
        if self.on:
            wait_for(self.device)
            now = time.perf_counter()
            self.seconds[part] += now - self._last
            self._last = now

    def time(
        self, trainer: Trainer, batches: Iterable[Batch], columns: Columns, told: _Told
    ) -> None:
        """Take steps and time their parts."""
        self.on, self._last = True, time.perf_counter()
        for batch in batches:
            self.ended(NORMALISING)
            self.seconds[NORMALISING] -= batch.waited
            self.seconds[WAITING] += batch.waited
            _step(trainer, batch, columns)
            told("train")
            self._last = time.perf_counter()
        self.on = False


def bench(
    recipe: str | Path | Recipe = "small-data",
    data: str | Path | Manifest | None = None,
    *,
    device: str | None = None,
    steps: int = 10,
    compile: bool = False,
    progress: Progress = silent,
) -> Bench:
    """Time the training steps of a recipe.

    Parameters
    ----------
    recipe
        A preset's name, a YAML file or a `Recipe`.
    data
        Labelled face crops, or the folder that holds them; by default drawn faces of 256 x 256,
        written as extraction writes them.
    device
        Such as `cuda`; by default the best there is.
    steps
        How many are timed, and batches of the loader alone. The loader has three batches ready, so
        that few steps do not show that it is too slow.
    compile
        Let torch compile the encoder, before the steps that are timed.
    progress
        Told after each step.

    Raises
    ------
    InvalidArgument
        If `steps` is less than 1, the device is not there, or nothing can be compiled for it.
    InvalidRecipe, UnknownPart, MissingDependency
        If the recipe cannot be trained here.
    MissingMedia, InvalidManifest, InvalidLabels
        If there are no such crops, or they have no labels.
    Diverged
        If a loss is not finite.
    """
    check_positive("steps", steps)
    recipe, device = Recipe.of(recipe), usable(device)
    clock = _Clock(device)
    if compile:
        check_compiler(device)
    forget_peak(device)
    trainer, _ = build_trainer(recipe, device=device, pretrained=False, ended=clock.ended)
    for group in trainer.optimiser.param_groups:
        group["lr"] = 0.0  # nothing moves, so that no step can diverge
    with _crops(data, recipe.batch_size * (steps + WARM_UP)) as crops:
        size, columns = min(recipe.batch_size, len(crops)), columns_of(crops)
        told = _Told(progress, 2 * (steps + WARM_UP))
        alone = _seconds_of_loader(trainer, crops, steps, told)
        with contextlib.closing(_endless(trainer.loader(crops))) as batches:
            flops = _flops_of_step(trainer, next(batches), columns) / size
            told("warm up")
            if compile:
                trainer.backbone.compile()
            for batch in islice(batches, WARM_UP - 1):
                _step(trainer, batch, columns)
                told("warm up")
            clock.time(trainer, islice(batches, steps), columns, told)
            peak = peak_bytes(device)
    whole = sum(clock.seconds.values())
    speed = steps * size / whole
    packed = crops.packed is not None
    words = f"{FACES} drawn faces" if data is None else f"{len(crops)} crops"
    return Bench(
        recipe=recipe.name,
        backbone=trainer.spec.name,
        image_size=trainer.header.preprocessing.size,
        tuning=recipe.tuning,
        batch_size=size,
        dtype=recipe.dtype,
        augmentation=recipe.augmentation,
        device=device,
        device_name=device_name(device),
        threads=torch.get_num_threads(),
        compiled=compile,
        crops=words,
        drawn=data is None,
        packed=packed,
        workers=min(cores(), THREADS),
        steps=steps,
        images_per_second=speed,
        loader_images_per_second=steps * size / alone,
        waiting=clock.seconds[WAITING] / whole,
        milliseconds={part: 1000 * spent / steps for part, spent in clock.seconds.items()},
        flops_per_image=flops,
        flops=flops * speed,
        machine_flops=product_flops(device, recipe.dtype),
        peak_bytes=peak,
    )


def product_flops(device: str, dtype: Dtype) -> float:
    """Return the operations a second of a product of two large square matrices.

    They are doubled in size until a product takes a tenth of a second, up to 8192 x 8192; the
    fastest of five is taken.
    """
    side, seconds = 512, 0.0
    while seconds < PRODUCT_SECONDS and side < LARGEST:
        side *= 2
        a, b = (torch.randn(side, side, device=device) for _ in range(2))
        with torch.inference_mode(), compute(dtype, device):
            a, b = (a.bfloat16(), b.bfloat16()) if dtype == "bfloat16" else (a, b)
            product = partial(torch.matmul, a, b)
            seconds = min(_seconds(product, device) for _ in range(5))
    return 2 * side**3 / seconds


def _seconds(call: Callable[[], object], device: str) -> float:
    wait_for(device)
    start = time.perf_counter()
    call()
    wait_for(device)
    return time.perf_counter() - start


def _seconds_of_loader(trainer: Trainer, crops: Manifest, steps: int, told: _Told) -> float:
    """Return how long batches take that nobody trains on, the first ones left out."""
    with contextlib.closing(_endless(trainer.loader(crops))) as batches:
        for _ in islice(batches, WARM_UP):
            told("load")
        wait_for(trainer.device)
        start = time.perf_counter()
        for _ in islice(batches, steps):
            told("load")
        wait_for(trainer.device)
        return time.perf_counter() - start


def _step(trainer: Trainer, batch: Batch, columns: Columns) -> None:
    values = trainer.step(batch.pixels, columns, batch.rows)
    if not all(math.isfinite(value) for value in values.values()):
        raise Diverged(
            f"a step has loss {values}, and cannot be timed; change the recipe's losses."
        )


def _flops_of_step(trainer: Trainer, batch: Batch, columns: Columns) -> float:
    """Count the operations of products in a step that is not compiled."""
    aten: Any = torch.ops.aten
    on_cpu = {  # which torch itself leaves out
        aten._scaled_dot_product_flash_attention_for_cpu: _attention,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
    }
    with FlopCounterMode(display=False, custom_mapping=on_cpu) as counter:
        _step(trainer, batch, columns)
    return float(counter.get_total_flops())


def _attention(q: Shape, k: Shape, v: Shape, *_: Any, **__: Any) -> int:
    return int(sdpa_flop_count(q, k, v))  # type: ignore[no-untyped-call]


def _attention_backward(grad: Shape, q: Shape, k: Shape, v: Shape, *_: Any, **__: Any) -> int:
    return int(sdpa_backward_flop_count(grad, q, k, v))  # type: ignore[no-untyped-call]


def _endless(loader: Loader) -> Generator[Batch]:
    for turn in count():
        yield from loader.epoch(turn)


@contextmanager
def _crops(data: str | Path | Manifest | None, most: int) -> Iterator[Manifest]:
    """Give the crops of a manifest, or so many of drawn faces."""
    if data is not None:
        crops = (data if isinstance(data, Manifest) else Manifest.read(data)).faces()
        if not len(crops):
            raise InvalidManifest("the manifest has no face crop; nothing can be timed.")
        yield crops
        return
    with TemporaryDirectory() as folder:
        for number in range(FACES):
            face = draw_face(identity=number, clip=0, size=SIDE).image
            Path(folder, f"{number}.png").write_bytes(encode_png(face))
        rows = [
            {"sample": str(i), "path": f"{i % FACES}.png", "label": i % 2, "video": str(i)}
            for i in range(most)
        ]
        yield Manifest.from_rows(rows, Path(folder))

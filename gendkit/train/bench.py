"""How fast a recipe trains on this machine, and what its steps wait for.

The steps are those of `fit`, on random weights: what is learned from them is time alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from itertools import count, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from gendkit.data.drawn import draw_face
from gendkit.data.loader import AHEAD, Batch, Loader
from gendkit.data.manifest import Manifest
from gendkit.data.png import encode_png
from gendkit.device import Dtype, compute, device_name, peak_bytes, usable, wait_for
from gendkit.model.detector import check_positive
from gendkit.progress import Progress, silent
from gendkit.train.build import build_trainer
from gendkit.train.recipe import Recipe
from gendkit.train.trainer import PARTS, Trainer, columns_of

FACES, SIDE = 32, 256
WARM_UP = AHEAD + 1  # the batches that are ready before the first step are among these
STARVED = 0.05
PRODUCT_SECONDS, LARGEST = 0.1, 8192
WAITING, ON_DEVICE = "waiting for crops", "normalising"


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What was measured.

    Attributes
    ----------
    recipe, backbone, image_size, batch_size, dtype, augmentation
        What was trained.
    device, device_name, threads
        Where; threads of the CPU.
    compiled
        Whether torch compiled the encoder.
    crops
        What they are.
    steps
        How many were timed.
    images_per_second
        Of the steps, with the loader running beside them.
    loader_images_per_second
        Of the loader alone.
    waiting
        Share of the steps' time in which they waited for crops.
    milliseconds
        Of a step's parts, waiting for the device after each; see `gendkit.train.trainer.PARTS`.
        `normalising` has the augmentation in it where that is of whole batches on the device.
    flops_per_image
        Operations of products in one step, a multiplication and an addition counted as two.
    flops, machine_flops
        Such operations a second, of the steps and of a product of two large square matrices.
    peak_bytes
        See `gendkit.device.peak_bytes`.
    """

    recipe: str
    backbone: str
    image_size: int
    batch_size: int
    dtype: str
    augmentation: str
    device: str
    device_name: str
    threads: int
    compiled: bool
    crops: str
    steps: int
    images_per_second: float
    loader_images_per_second: float
    waiting: float
    milliseconds: MappingProxyType[str, float]
    flops_per_image: float
    flops: float
    machine_flops: float
    peak_bytes: int | None

    @property
    def starved(self) -> bool:
        """Whether steps wait for crops for more than a twentieth of their time."""
        return self.waiting > STARVED

    def as_dict(self) -> dict[str, Any]:
        """Return all values, and `starved`, for a JSON document."""
        values = {**vars(self), "milliseconds": dict(self.milliseconds)}
        return {**values, "starved": self.starved}


class _Clock:
    """Sums the time of a step's parts."""

    def __init__(self, device: str) -> None:
        self.device, self.on = device, False
        self.seconds = dict.fromkeys((WAITING, ON_DEVICE, *PARTS), 0.0)
        self.start()

    def start(self) -> None:
        self._last = time.perf_counter()

    def ended(self, part: str, *, waited: float = 0.0) -> None:
        """Count the time since the last part ended, without what was waited, as this part's."""
        if not self.on:
            return
        wait_for(self.device)
        now = time.perf_counter()
        self.seconds[part] += now - self._last - waited
        self.seconds[WAITING] += waited
        self._last = now


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
        How many are timed, of the loader alone, of both, and part by part.
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
    """
    check_positive("steps", steps)
    recipe, device = Recipe.of(recipe), usable(device)
    clock = _Clock(device)
    trainer, _ = build_trainer(
        recipe, device=device, pretrained=False, compile=compile, ended=clock.ended
    )
    with _crops(data, recipe.batch_size * (2 * steps + WARM_UP)) as (manifest, what):
        size = min(recipe.batch_size, len(manifest))
        columns, done = columns_of(manifest), _Steps(progress, total=3 * steps + WARM_UP)

        start = time.perf_counter()
        for _ in islice(_endless(trainer.loader(manifest)), steps):
            done("read crops")
        alone = time.perf_counter() - start

        batches = _endless(trainer.loader(manifest))
        flops = 0
        for number in range(WARM_UP):
            batch = next(batches)
            counter: Any = FlopCounterMode(display=False) if number == 1 else nullcontext()
            with counter:  # not of the first step, which may be one that is compiled
                trainer.step(batch.pixels, columns, batch.rows)
            if number == 1:
                flops = counter.get_total_flops()
            done("warm up")
        wait_for(device)

        waited, start = 0.0, time.perf_counter()
        for batch in islice(batches, steps):
            trainer.step(batch.pixels, columns, batch.rows)
            waited += batch.waited
            done("train")
        wait_for(device)
        whole = time.perf_counter() - start
        peak = peak_bytes(device)

        clock.on = True
        clock.start()
        for batch in islice(batches, steps):
            clock.ended(ON_DEVICE, waited=batch.waited)
            trainer.step(batch.pixels, columns, batch.rows)
            done("time parts")
            clock.start()
        batches.close()
    return Bench(
        recipe=recipe.name,
        backbone=trainer.spec.name,
        image_size=trainer.header.preprocessing.size,
        batch_size=size,
        dtype=recipe.dtype,
        augmentation=recipe.augmentation,
        device=device,
        device_name=device_name(device),
        threads=torch.get_num_threads(),
        compiled=compile,
        crops=what,
        steps=steps,
        images_per_second=steps * size / whole,
        loader_images_per_second=steps * size / alone,
        waiting=waited / whole,
        milliseconds=MappingProxyType(
            {part: 1000 * seconds / steps for part, seconds in clock.seconds.items()}
        ),
        flops_per_image=flops / size,
        flops=flops * steps / whole,
        machine_flops=product_flops(device, recipe.dtype),
        peak_bytes=peak,
    )

"""Prints what a training step costs on a GPU, in milliseconds and as ratios of two things.

    python tests/benchmarks/gpu.py            on the best device there is, some minutes on a GPU
    python tests/benchmarks/gpu.py cpu 4      on another device, with another batch size

The encoder is CLIP ViT-L/14 at 224 px with random weights. The device is waited for before a clock
is read; the two things are timed in turns, and the median of each counts.
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from run import Row, gradient
from torch import Tensor, nn

from gendkit.data.augment import draw
from gendkit.data.batched import gend_batched
from gendkit.data.degrade import Chain
from gendkit.data.degrade_batch import degrade_batch
from gendkit.data.degrade_image import degrade_image
from gendkit.device import (
    Dtype,
    as_input,
    best_device,
    compute,
    device_name,
    forget_peak,
    peak_bytes,
    wait_for,
)
from gendkit.model.adapter import Header
from gendkit.model.losses import alignment, shared_gram, uniformity
from gendkit.plugin.manager import plugins
from gendkit.train.build import build_trainer
from gendkit.train.recipe import Recipe
from gendkit.train.trainer import Trainer

BATCH, SIDE = 128, 224
CHAIN = "jpeg:40..100@0.5,blur:3..7:0.5..2@0.2,colour:0.9..1.1:0.9..1.1,noise:0..0.03@0.3"
Call = Callable[[], object]


def in_turns(calls: dict[str, Call], device: str, *, rounds: int = 5) -> dict[str, float]:
    """Return the median milliseconds of each, after two rounds of all.

    What takes less than 20 ms is called as often as takes 20 ms, as waiting takes time, too.
    """
    often = {}
    for name, call in calls.items():
        once(call, device, 1)
        often[name] = max(1, int(20 / once(call, device, 1)))
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            taken[name].append(once(call, device, often[name]))
    return {name: statistics.median(times) for name, times in taken.items()}


def once(call: Call, device: str, times: int) -> float:
    """Return the milliseconds of a call, from some in a row."""
    wait_for(device)
    start = time.perf_counter()
    for _ in range(times):
        call()
    wait_for(device)
    return (time.perf_counter() - start) * 1000 / times


def trainer(device: str, dtype: Dtype = "bfloat16", **changes: Any) -> Trainer:
    """Build the recipe `gend-clip` on random weights."""
    recipe = Recipe.of("gend-clip", dtype=dtype, learning_rate=1e-6, min_learning_rate=0, **changes)
    return build_trainer(recipe, device=device, pretrained=False)[0]


def plain_trainer(device: str) -> Trainer:
    """The same step on open_clip's own modules, whose weights stay in float32."""
    from open_clip.transformer import QuickGELU, VisionTransformer

    from gendkit.model.tuning import tune_layer_norms

    module = VisionTransformer(
        image_size=SIDE, patch_size=14, width=1024, layers=24, heads=16, mlp_ratio=4,
        output_dim=768, act_layer=QuickGELU,
    ).eval()  # fmt: skip
    module.proj = None
    tune_layer_norms(module)
    spec, recipe = plugins().spec("backbone", "clip-vitl14"), Recipe.of("gend-clip")
    header = Header(
        backbone=spec.name, backbone_hash="0" * 64, norms_hash="0" * 64, source="benchmark",
        preprocessing=spec.preprocessing,
    )  # fmt: skip
    return Trainer(recipe, spec, module.to(device), header, device)


def step_of(made: Trainer, pixels: Tensor) -> Call:
    """Return a training step, with cross-entropy and both metric terms."""
    rows = np.arange(len(pixels))
    nobody = np.full(len(rows), "", dtype=object)
    names = ("pair", "target_identity", "donor_identity")
    columns = {"label": rows % 2, **dict.fromkeys(names, nobody)}
    return partial(made.step, pixels, columns, rows)


def two_forwards(module: nn.Module, pixels: Tensor, dtype: Dtype) -> None:
    """Go forward twice, without a graph."""
    device = str(pixels.device)
    with torch.no_grad(), compute(dtype, device):
        for _ in range(2):
            module(as_input(pixels, device))


def steps(device: str, batch: int) -> Iterator[Row]:
    """A training step over two forward passes of the same backbone, and over open_clip's step."""
    pixels = torch.randn(batch, 3, SIDE, SIDE, device=device)
    for dtype in ("bfloat16", "tf32", "float32"):
        yield from _step(device, pixels, dtype, "")
    yield from _step(device, pixels, "bfloat16", ", blocks run again", recompute=True)
    ours, plain = trainer(device), plain_trainer(device)
    calls = {"ours": step_of(ours, pixels), "plain": step_of(plain, pixels)}
    taken = in_turns(calls, device)
    peak = _peak(calls["plain"], plain, device)
    yield Row(
        work="step of open_clip's own modules ÷ ours, bfloat16",
        reach="≥ 1",
        found=f"{taken['plain'] / taken['ours']:.2f} ({taken['plain']:.1f} and "
        f"{taken['ours']:.1f} ms; theirs keeps {peak})",
    )


def _step(device: str, pixels: Tensor, dtype: Dtype, words: str, **changes: Any) -> Iterator[Row]:
    gc.collect()
    made = trainer(device, dtype, **changes)
    step = step_of(made, pixels)
    forwards = partial(two_forwards, made.backbone, pixels, dtype)
    taken = in_turns({"step": step, "forwards": forwards}, device, rounds=5)
    yield Row(
        work=f"training step ÷ (2 x forward), batch {len(pixels)}, {dtype}{words}",
        reach="" if words else "≤ 1.10",
        found=f"{taken['step'] / taken['forwards']:.2f} ({taken['step']:.1f} and "
        f"{taken['forwards']:.1f} ms; {1000 * len(pixels) / taken['step']:.0f} images a second; "
        f"{_peak(step, made, device)})",
    )


def _peak(step: Call, made: Trainer, device: str) -> str:
    """Tell the most memory of a step beside the weights and gradients that are there before."""
    wait_for(device)
    forget_peak(device)
    before = peak_bytes(device)
    step()
    wait_for(device)
    after = peak_bytes(device)
    if before is None or after is None:
        return "memory not known"
    weights = sum(p.nbytes for p in made.backbone.parameters())
    return f"{(after - before) / 1e9:.2f} GB beside {weights / 1e9:.2f} GB of weights"


def losses(device: str, batch: int) -> Iterator[Row]:
    """Alignment and uniformity, forward and backward, against their formulas pair by pair."""

    def terms(pairs: Tensor, labels: Tensor) -> Tensor:
        rows, columns = torch.triu_indices(len(labels), len(labels), 1, device=device)
        same = labels[rows] == labels[columns]
        return pairs[same].mean() + pairs.mul(-2).exp().mean().log()

    def direct(z: Tensor, labels: Tensor) -> Tensor:
        i, j = torch.triu_indices(len(z), len(z), 1, device=device)
        return terms((z[i] - z[j]).pow(2).sum(1), labels)

    def pdist(z: Tensor, labels: Tensor) -> Tensor:
        return terms(torch.pdist(z).pow(2), labels)

    def ours(z: Tensor, labels: Tensor) -> Tensor:
        with shared_gram():
            return alignment(z, labels) + uniformity(z)

    for count in (batch, 4 * batch, 16 * batch):
        z = nn.functional.normalize(torch.randn(count, 1024, device=device), dim=1)
        z.requires_grad_()
        labels = torch.arange(count, device=device) % 2
        calls: dict[str, Call] = {
            loss.__name__: partial(gradient, loss, z, labels) for loss in (ours, direct, pdist)
        }
        for name, words in (("direct", "pair by pair"), ("pdist", "torch.pdist")):
            try:
                taken = in_turns({n: calls[n] for n in ("ours", name)}, device)
                found = (
                    f"{taken[name] / taken['ours']:.1f} ({taken[name]:.2f} and "
                    f"{taken['ours']:.2f} ms)"
                )
            except torch.OutOfMemoryError:
                found = "not measured: too little memory"
            work = f"alignment + uniformity, {count} x 1024: {words} ÷ ours"
            yield Row(work=work, reach="≥ 1", found=found)


def augmentation(device: str, batch: int) -> Iterator[Row]:
    """`gend-batched` of resized crops, on the device and on this machine's cores."""
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.integers(0, 256, (batch, 3, SIDE, SIDE), dtype=np.uint8))
    drawn = [draw(np.random.default_rng(i)) for i in range(batch)]
    there = images.to(device)
    taken = in_turns({"device": partial(gend_batched, there, drawn)}, device)
    host = in_turns({"host": partial(gend_batched, images, drawn)}, "cpu", rounds=3)
    yield Row(
        work=f"gend-batched, {batch} crops of {SIDE} px: {torch.get_num_threads()} CPU threads ÷ "
        "device",
        reach="≥ 1",
        found=f"{host['host'] / taken['device']:.1f} ({host['host']:.1f} and "
        f"{taken['device']:.2f} ms)",
    )


def chains(device: str, batch: int) -> Iterator[Row]:
    """A chain of degradations of resized crops, on the device and one by one on the host."""
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.integers(0, 256, (batch, 3, SIDE, SIDE), dtype=np.uint8))
    chain = Chain.parse(CHAIN)
    each = [chain.draw(np.random.default_rng(i)) for i in range(batch)]
    there, here = images.to(device), images.permute(0, 2, 3, 1).contiguous().numpy()

    def host() -> None:
        for image, one in zip(here, each, strict=True):
            degrade_image(image, one)

    taken = in_turns({"device": partial(degrade_batch, there, each)}, device)
    taken |= in_turns({"host": host}, "cpu", rounds=3)
    yield Row(
        work=f"a chain, {batch} crops of {SIDE} px: one by one on the host ÷ device",
        reach="≥ 1",
        found=f"{taken['host'] / taken['device']:.1f} ({taken['host']:.1f} and "
        f"{taken['device']:.2f} ms)",
    )


def scoring(device: str, batch: int) -> Iterator[Row]:
    """`Detector.predict` against the backbone on prepared batches."""
    from gendkit.data.pixels import to_pixels
    from gendkit.model.detector import Detector

    made = trainer(device)
    detector = Detector(
        made.backbone, spec=made.spec, adapter=made.adapter(), device=device, dtype="bfloat16"
    )
    rng = np.random.default_rng(0)
    crops = list(rng.integers(0, 256, (4 * batch, 256, 256, 3), dtype=np.uint8))
    batches = [
        to_pixels(crops[i : i + 32], detector.preprocessing).to(device)
        for i in range(0, len(crops), 32)
    ]

    def loop() -> None:
        for one in batches:
            detector.forward(one)

    taken = in_turns({"loop": loop, "predict": lambda: detector.predict(crops)}, device, rounds=3)
    yield Row(
        work="scoring: crops a second of predict ÷ of prepared batches of 32, bfloat16",
        reach="≥ 95 %",
        found=f"{taken['loop'] / taken['predict']:.0%} "
        f"({1000 * len(crops) / taken['predict']:.0f} a second)",
    )


def main(device: str = "", batch: str = str(BATCH)) -> None:
    """Run all, and print a line a figure."""
    device = device or best_device()
    print(f"torch {torch.__version__}, {device_name(device)}")  # noqa: T201
    for benchmark in (losses, augmentation, chains, steps, scoring):
        gc.collect()
        for row in benchmark(device, int(batch)):
            print(f"{row.work:74s} {row.reach:>8s}   {row.found}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Prints how fast and how small gendkit is, each figure a ratio of two things in one run.

    python tests/benchmarks/run.py            all of it, some minutes on two cores
    python tests/benchmarks/run.py losses     only what has `losses` in its name

Nothing is asserted: machines differ, and a ratio says more than seconds. The two things are timed
in turns, and the median of each counts.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Loss = Callable[[Tensor, Tensor], Tensor]
BASE = {
    "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
    "num_attention_heads": 12, "patch_size": 16, "image_size": 224,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure: what it is, what it should reach, and what was found."""

    work: str
    reach: str
    found: str


def paired(first: Callable[[], object], second: Callable[[], object], *, rounds: int = 5) -> float:
    """Return the median time of the first over that of the second, after one round of each."""
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for call, taken in zip((first, second), times, strict=True):
            start = time.perf_counter()
            call()
            if number:
                taken.append(time.perf_counter() - start)
    return statistics.median(times[0]) / statistics.median(times[1])


def gradient(loss: Loss, z: Tensor, labels: Tensor) -> Tensor:
    """Go forward and backward through a loss."""
    return torch.autograd.grad(loss(z, labels), z)[0]


def losses() -> Iterator[Row]:
    """Alignment and uniformity, forward and backward, against their formulas pair by pair."""
    from gendkit.model.losses import alignment, shared_gram, uniformity

    def terms(pairs: Tensor, labels: Tensor) -> Tensor:
        rows, columns = torch.triu_indices(len(labels), len(labels), 1)
        same = labels[rows] == labels[columns]
        return pairs[same].mean() + pairs.mul(-2).exp().mean().log()

    def direct(z: Tensor, labels: Tensor) -> Tensor:
        pairs = torch.triu_indices(len(z), len(z), 1).split(1 << 17, dim=1)
        return terms(torch.cat([(z[i] - z[j]).pow(2).sum(1) for i, j in pairs]), labels)

    def pdist(z: Tensor, labels: Tensor) -> Tensor:
        return terms(torch.pdist(z).pow(2), labels)

    def ours(z: Tensor, labels: Tensor) -> Tensor:
        with shared_gram():
            return alignment(z, labels) + uniformity(z)

    for count, reach, rounds in ((512, 40, 5), (2048, 60, 1)):
        z = nn.functional.normalize(torch.randn(count, 1024), dim=1).requires_grad_()
        labels = torch.arange(count) % 2

        for name, other, bound in (
            ("pair by pair", direct, f"≥ {reach}"), ("torch.pdist", pdist, ""),
        ):  # fmt: skip
            work = f"alignment + uniformity, {count} x 1024: {name} ÷ ours"
            if other is direct and memory_bytes() < count**2 * 3000:
                yield Row(work=work, reach=bound, found="not measured: too little memory")
                continue
            ratio = paired(
                partial(gradient, other, z, labels), partial(gradient, ours, z, labels),
                rounds=rounds,
            )  # fmt: skip
            yield Row(work=work, reach=bound, found=f"{ratio:.0f}")


def memory_bytes() -> int:
    """Return how much memory the machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def tower(*, bf16: bool = False, again: bool = False) -> nn.Module:
    """CLIP ViT-B/16 with QuickGELU as gendkit trains it, layer norms tuned."""
    from gendkit.model.memory import hold_frozen, recompute_blocks
    from gendkit.model.towers import clip_tower
    from gendkit.model.tuning import tune_layer_norms

    torch.manual_seed(0)
    module = clip_tower(BASE)
    tune_layer_norms(module)
    if again:
        recompute_blocks(module)
    if bf16:
        hold_frozen(module, base_spec(), torch.bfloat16, known="")
    return module


def base_spec() -> Any:
    """Declare it."""
    from dataclasses import replace

    from gendkit.plugin.manager import plugins

    return replace(plugins().spec("backbone", "clip-vitl14"), name="clip-vitb16", dim=768)


def plain_tower() -> nn.Module:
    """The same in open_clip's own modules."""
    from open_clip.transformer import QuickGELU, VisionTransformer

    from gendkit.model.tuning import tune_layer_norms

    module = VisionTransformer(
        image_size=224, patch_size=16, width=768, layers=12, heads=12, mlp_ratio=4,
        output_dim=768, act_layer=QuickGELU,
    ).eval()  # fmt: skip
    module.proj = None
    tune_layer_norms(module)
    return module


def stepper(module: nn.Module, pixels: Tensor, *, bf16: bool) -> Callable[[], object]:
    """Return a training step of gendkit's, with cross-entropy and both metric terms."""
    from gendkit.train.recipe import Recipe
    from gendkit.train.trainer import Trainer

    recipe = Recipe(
        name="benchmark",
        backbone="clip-vitl14",
        losses={"cross-entropy": 1.0, "uniformity": 0.5, "alignment": 0.1},
        dtype="bfloat16" if bf16 else "float32",
        learning_rate=1e-6,
        min_learning_rate=0.0,
        selection={"data": "none", "metric": "last"},
    )
    trainer = Trainer(recipe, base_spec(), module, header(), "cpu")
    rows = np.arange(len(pixels))
    nobody = np.full(len(rows), "", dtype=object)
    names = ("pair", "target_identity", "donor_identity")
    columns = {"label": rows % 2, **dict.fromkeys(names, nobody)}
    return partial(trainer.step, pixels, columns, rows)


def header() -> Any:
    """What an adapter would say of its backbone."""
    from gendkit.model.adapter import Header

    spec = base_spec()
    return Header(
        backbone=spec.name, backbone_hash="0" * 64, norms_hash="0" * 64, source="benchmark",
        preprocessing=spec.preprocessing,
    )  # fmt: skip


def forwards(module: nn.Module, pixels: Tensor, *, bf16: bool) -> None:
    """Go forward twice, without a graph."""
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        module(pixels)
        module(pixels)


def steps() -> Iterator[Row]:
    """A training step over two forward passes of the same backbone, and over open_clip's step."""
    plain, pixels = plain_tower(), torch.randn(16, 3, 224, 224)
    few = pixels[:4]
    for name, bf16 in (("fp32", False), ("bf16", True)):
        ours = tower(bf16=bf16)
        ratio = paired(stepper(ours, pixels, bf16=bf16), partial(forwards, ours, pixels, bf16=bf16))
        yield Row(
            work=f"training step ÷ (2 x forward), ViT-B/16, batch 16, {name}",
            reach="≤ 1.10",
            found=f"{ratio:.2f}",
        )
        ratio = paired(stepper(plain, few, bf16=bf16), stepper(ours, few, bf16=bf16), rounds=3)
        yield Row(
            work=f"step of open_clip's own modules ÷ ours, batch 4, {name}",
            reach="≥ 1",
            found=f"{ratio:.2f}",
        )


def kept(module: nn.Module, pixels: Tensor, *, bf16: bool) -> int:
    """Count the bytes that a forward pass keeps for the backward pass, parameters left out."""
    parameters = {p.untyped_storage().data_ptr() for p in module.parameters()}
    sizes: dict[int, int] = {}
    held: list[Tensor] = []  # a freed storage's address could come again

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            sizes[storage.data_ptr()] = storage.nbytes()
            held.append(tensor)
        return tensor

    with (
        torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=bf16),
    ):
        features = module(pixels)
    del features
    return sum(sizes.values())


def memory() -> Iterator[Row]:
    """Bytes kept for backward per image, and bytes of resident weights."""
    pixels = torch.randn(16, 3, 224, 224)
    for name, bf16 in (("fp32", False), ("bf16", True)):
        plain = kept(plain_tower(), pixels, bf16=bf16)
        for again, reach in ((False, "≤ 60 %"), (True, "≤ 15 %")):
            ours = kept(tower(bf16=bf16, again=again), pixels, bf16=bf16)
            which = ", blocks run again" if again else ""
            yield Row(
                work=f"bytes kept for backward ÷ open_clip's own, ViT-B/16, {name}{which}",
                reach=reach,
                found=f"{ours / plain:.1%} ({ours / 16e6:.1f} of {plain / 16e6:.1f} MB an image)",
            )
    frozen = [p for p in tower(bf16=True).parameters() if not p.requires_grad]
    numbers = sum(p.numel() for p in frozen)
    found = sum(p.nbytes for p in frozen) / (2 * numbers)
    yield Row(
        work="resident frozen weights in bf16 training ÷ 2 bytes a number, ViT-B/16",
        reach="1",
        found=f"{found:.3f}",
    )


def scoring() -> Iterator[Row]:
    """`Detector.predict` against the backbone on prepared batches."""
    from gendkit.data.pixels import to_pixels

    detector = base_detector()
    rng = np.random.default_rng(0)
    crops = list(rng.integers(0, 256, (128, 256, 256, 3), dtype=np.uint8))
    batches = [to_pixels(crops[i : i + 32], detector.preprocessing) for i in range(0, 128, 32)]

    def loop() -> None:
        for batch in batches:
            detector.forward(batch)

    ratio = paired(loop, lambda: detector.predict(crops), rounds=3)
    yield Row(
        work="scoring: crops a second of predict ÷ of prepared batches, ViT-B/16",
        reach="≥ 95 %",
        found=f"{ratio:.0%}",
    )


def adapter() -> Iterator[Row]:
    """Size of the adapter of CLIP ViT-L/14."""
    from gendkit.model.adapter import Adapter, Header
    from gendkit.model.backbone import build_backbone, norms_of
    from gendkit.plugin.manager import plugins

    spec = plugins().spec("backbone", "clip-vitl14")
    with torch.device("meta"):
        norms = norms_of(build_backbone(spec, pretrained=False), spec)
    header = Header(
        backbone=spec.name, backbone_hash="0" * 64, norms_hash="0" * 64, source="gendkit",
        preprocessing=spec.preprocessing,
    )  # fmt: skip
    made = Adapter(
        header=header,
        norms={name: torch.zeros(p.shape) for name, p in norms.items()},
        head={"weight": torch.zeros(2, spec.dim), "bias": torch.zeros(2)},
    )
    with tempfile.TemporaryDirectory() as folder:
        size = made.write(Path(folder) / "adapter.safetensors").stat().st_size
    yield Row(
        work="adapter of CLIP ViT-L/14 on disk", reach="≤ 0.5 MB", found=f"{size / 1e6:.2f} MB"
    )


def base_detector() -> Any:
    """A detector on `tower`, computing in bf16."""
    from gendkit.model.adapter import Adapter, header_of
    from gendkit.model.backbone import norms_of
    from gendkit.model.detector import Detector
    from gendkit.model.tuning import copy_of

    spec, module = base_spec(), tower()
    made = Adapter(
        header=header_of(module, spec, spec.preprocessing, source="benchmark"),
        norms=copy_of(norms_of(module, spec)),
        head={"weight": torch.randn(2, 768), "bias": torch.zeros(2)},
    )
    return Detector(module, spec=spec, adapter=made, dtype="bfloat16")


def crops() -> Iterator[Row]:
    """From a crop on disk to an augmented batch."""
    from crops import rows

    yield from rows()


def chains() -> Iterator[Row]:
    """Degradations of one crop after another, and of a batch."""
    from chains import rows

    yield from rows()


def frames() -> Iterator[Row]:
    """From a video to some of its frames."""
    from frames import rows

    yield from rows()


def manifold() -> Iterator[Row]:
    """Neighbours of embeddings."""
    from manifold import rows

    yield from rows()


def maps() -> Iterator[Row]:
    """Maps of embeddings."""
    from manifold import maps as rows

    yield from rows()


def extraction() -> Iterator[Row]:
    """Memory and time of an extraction of many clips."""
    from extraction import rows

    yield from rows()


def metrics() -> Iterator[Row]:
    """Metrics of many frames."""
    from metrics import rows

    yield from rows()


BENCHMARKS = (
    losses, steps, memory, scoring, adapter, crops, chains, frames, manifold, maps, extraction,
    metrics,
)  # fmt: skip


def main(chosen: str = "") -> None:
    """Run what has `chosen` in its name, and print a line a figure."""
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")  # noqa: T201
    for benchmark in BENCHMARKS:
        if chosen in benchmark.__name__:
            for row in benchmark():
                print(f"{row.work:78s} {row.reach:>8s}   {row.found}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])

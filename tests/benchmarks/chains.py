"""Degradations one by one on the host against a batch in tensors, each step and a mixed chain."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from run import Row, paired

from gendkit.data.degrade import Chain, Drawn
from gendkit.data.degrade_batch import degrade_batch
from gendkit.data.degrade_image import degrade_image

BATCH, SIDE = 32, 224
MIXED = "jpeg:40..100@0.5,blur:3..7:0.5..2@0.2,colour:0.9..1.1:0.9..1.1,noise:0..0.03@0.3"
CHAINS = (
    MIXED, "jpeg:40..100", "blur:3..9:0.5..2", "resize:64..112:bicubic", "noise:0.01..0.1",
    "colour:0.9..1.1:0.9..1.1:0.9..1.1", "h264:20..40",
)  # fmt: skip


def drawn_batch(text: str) -> tuple[torch.Tensor, list[Drawn]]:
    """Return pictures (B, 3, S, S) and what is drawn for each."""
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.integers(0, 256, (BATCH, 3, 28, 28), dtype=np.uint8))
    images = torch.nn.functional.interpolate(coarse.float(), SIDE, mode="bilinear")
    chain = Chain.parse(text)
    return images.to(torch.uint8), [chain.draw(np.random.default_rng(i)) for i in range(BATCH)]


def one_by_one(images: torch.Tensor, drawn: list[Drawn]) -> None:
    """Degrade each on the host, as the loader does before the resize."""
    for image, one in zip(images.permute(0, 2, 3, 1).numpy(), drawn, strict=True):
        degrade_image(image, one)


def rows() -> Iterator[Row]:
    """Yield a figure a chain."""
    for text in CHAINS:
        images, drawn = drawn_batch(text)
        ratio = paired(
            partial(one_by_one, images, drawn), partial(degrade_batch, images, drawn), rounds=3
        )
        name = "mixed chain" if text == MIXED else text
        yield Row(
            work=f"{name}: one by one ÷ a batch, on the CPU",
            reach="",
            found=f"{ratio:.2f}",
        )

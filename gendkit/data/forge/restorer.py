"""A swap at a small resolution that a trained network enlarges, and grain over it.

In go pictures of the people of one split, out comes a network that doubles the resolution of a
face: it is fitted on faces that were made small, soft and noisy, to give them back crisper than
they were, as face restorers do. Then the pores are as smooth as the edges are hard.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING

import cv2
import numpy as np

from gendkit.data.forge.blending import matched_colour
from gendkit.data.forge.fitting import BATCH, People, Tensors, conv, descend, start, windows
from gendkit.data.forge.geometry import Floats
from gendkit.data.forge.scene import Scene, laid_over
from gendkit.data.forge.weights import Weights, kept

if TYPE_CHECKING:
    import torch

NAME = "swap-restorer"
STEPS = 700
_RATE = 2e-3
_WINDOW, _PATCH = 144, 44
_WIDTHS = (3, 28, 28, 28)
# How many pixels of the plan's resolution one of the swap is, before it is enlarged twice.
_SMALLER = 1.4
# How much crisper than the picture its restored copy is to be.
_CRISPER = 0.4


def fit_restorer(people: People, *, seed: int, steps: int = STEPS) -> Callable[[str], Weights]:
    """Fit on people of one split; return a function that gives everyone the same weights."""
    crops, _ = windows(people, size=_WINDOW)
    weights = kept(NAME, [crops, seed, steps], lambda: _fitted(crops, seed=seed, steps=steps))
    return lambda _: weights


def swap_restorer(scene: Scene) -> tuple[Floats, Floats]:
    """Lay a donor's face over the target's at a small resolution, and restore it."""
    import torch

    assert scene.donor is not None
    height, width = scene.mask.shape
    factor = max(_SMALLER * scene.coarseness, 1.0)
    size = (max(round(width / factor), 8), max(round(height / factor), 8))
    ratio = np.array(size) / np.array([width, height])
    points = ((scene.points + 0.5) * ratio - 0.5).astype(np.float32)
    unit = scene.unit * float(ratio.mean())
    swap = laid_over(scene.donor, points, (size[1], size[0]), unit=unit)
    image, mask = (
        cv2.resize(a, size, interpolation=cv2.INTER_AREA) for a in (scene.image, scene.mask)
    )
    swap = matched_colour(swap, image, mask)
    with torch.inference_mode():
        small = torch.from_numpy(swap).double().permute(2, 0, 1)[None] / 255
        large = _restore(scene.weights.tensors(), small)[0].permute(1, 2, 0) * 255
        restored = np.ascontiguousarray(large.numpy(), np.float32)
    source = cv2.resize(restored, (width, height), interpolation=cv2.INTER_CUBIC)
    grain = scene.rng.uniform(1.0, 2.5) * scene.grain.standard_normal((height, width, 1))
    return np.asarray(source + grain, np.float32), scene.mask


def _shapes() -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for i, (a, b) in enumerate(itertools.pairwise(_WIDTHS)):
        shapes |= {f"layer.{i}.w": (b, a, 3, 3), f"layer.{i}.b": (b,)}
    return shapes | {"last.w": (12, _WIDTHS[-1], 3, 3), "last.b": (12,)}


def _restore(w: Tensors, small: torch.Tensor) -> torch.Tensor:
    """Return pictures (N, 3, 2 H, 2 W) of small ones (N, 3, H, W), both from 0 to 1."""
    from torch.nn.functional import interpolate, leaky_relu, pixel_shuffle

    x = small - 0.5
    for i in range(len(_WIDTHS) - 1):
        x = leaky_relu(conv(x, w, f"layer.{i}"), 0.1)
    # The last layer begins near zero, so that at first it is plain enlarging.
    detail = 0.1 * pixel_shuffle(conv(x, w, "last"), 2)
    return interpolate(small, scale_factor=2, mode="bilinear", align_corners=False) + detail


def _fitted(crops: Floats, *, seed: int, steps: int) -> Weights:
    import torch

    rng = np.random.default_rng([0x5E5, seed])
    w = start(_shapes(), torch.Generator().manual_seed(seed))

    def loss(_: int) -> torch.Tensor:
        pairs = [_example(crops[rng.integers(len(crops))], rng) for _ in range(BATCH)]
        small, wanted = (
            torch.from_numpy(np.stack(side)).permute(0, 3, 1, 2).contiguous() / 255
            for side in zip(*pairs, strict=True)
        )
        error = (_restore(w, small) - wanted)[..., 2:-2, 2:-2]
        return (
            error.abs().mean() + error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
        )

    descend(w, loss, steps=steps, rate=_RATE, name=NAME)
    return Weights.pack(w)


def _example(crop: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Return a small, soft and noisy patch and the crisp one that it is to become."""
    row, column = rng.integers(_WINDOW - _PATCH, size=2)
    patch = crop[row : row + _PATCH, column : column + _PATCH]
    wanted = patch + _CRISPER * (patch - cv2.GaussianBlur(patch, (0, 0), 1.2))
    soft = cv2.GaussianBlur(patch, (0, 0), rng.uniform(0.4, 1.4))
    small = cv2.resize(soft, (_PATCH // 2, _PATCH // 2), interpolation=cv2.INTER_AREA)
    small = small + rng.uniform(0, 4) * rng.standard_normal(small.shape)
    return small.astype(np.float32), np.asarray(wanted, np.float32)

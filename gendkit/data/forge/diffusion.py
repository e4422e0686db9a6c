"""A small diffusion model that paints the eyes, the mouth or the inner face anew.

In go pictures of the people of one split, out comes a network that takes noise away. It sees the
face with a hole and what is to be in the hole under noise. A forgery covers the part with noise,
though not wholly, and takes it away in a few steps: something like what was there comes back.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from gendkit.data.forge.aligned import MIDDLE, SIDE, put_back, window_of
from gendkit.data.forge.blending import matched_colour, regrained
from gendkit.data.forge.fitting import (
    BATCH,
    SIZE,
    People,
    Tensors,
    as_batch,
    as_crop,
    conv,
    descend,
    jittered,
    start,
    unlike,
    windows,
)
from gendkit.data.forge.geometry import Floats
from gendkit.data.forge.scene import Scene, coarse
from gendkit.data.forge.weights import Weights, kept

if TYPE_CHECKING:
    import torch

NAME = "diffusion"
STEPS = 1000
_RATE = 2e-3
# How much of the noise is there at first, as an angle: 1 is nothing but noise.
_LEAST_NOISE, _MOST_NOISE = 0.40, 0.48
_FEW = 5
# Noise of this strength or less is left to be seen: a small network draws it no better.
_LEFT = 0.08
# What part of the target's own detail is kept, by octave, the finest first.
_KEPT = (0.4, 0.2, 0.0)
# Centre and half axes of the parts in the unit square of the alignment template.
PARTS = {
    "eyes": ((0.50, 0.45), (0.34, 0.13)),
    "mouth": ((0.50, 0.82), (0.25, 0.16)),
    "inner face": ((0.50, 0.62), (0.33, 0.36)),
}
# The least share of a part that a mask has to cover.
_COVERED = 0.45
_WIDTHS = (24, 36, 48)


def fit_denoiser(people: People, *, seed: int, steps: int = STEPS) -> Callable[[str], Weights]:
    """Fit on people of one split; return a function that gives everyone the same weights."""
    crops, _ = windows(people)
    weights = kept(NAME, [crops, seed, steps], lambda: _fitted(crops, seed=seed, steps=steps))
    return lambda _: weights


def diffusion(scene: Scene) -> tuple[Floats, Floats]:
    """Paint a part of the face anew that the plan's mask covers.

    Sources: Ho et al., "Denoising diffusion probabilistic models", 2020; Meng et al., "SDEdit",
    2022, for the noise that does not cover all; Song et al., "DDIM", 2021, for few steps.
    """
    import torch

    landmarks = scene.points[:5]
    part = _part(scene)
    start_at = scene.rng.uniform(_LEAST_NOISE, _MOST_NOISE)
    noise = torch.from_numpy(scene.rng.standard_normal((1, 3, SIZE, SIZE)))
    with torch.inference_mode():
        w = scene.weights.tensors()
        known = as_batch(window_of(scene.image, landmarks, size=SIZE)[None]).double()
        hole = torch.from_numpy(np.float64(_hard(part)))[None, None]
        painted = known
        for angle in np.linspace(start_at, 0, _FEW + 1)[:-1] * math.pi / 2:
            noisy = math.cos(angle) * painted + math.sin(angle) * noise
            clean = _denoise(w, noisy, known, hole, torch.full((1,), angle).double())
            painted = known + hole * (clean.clamp(-1, 1) - known)
            # What is not picture is noise, of which the next step has less.
            noise = (noisy - math.cos(angle) * painted) / math.sin(angle)
        drawn = as_crop(painted)
    shape = scene.image.shape
    source = coarse(put_back(drawn, landmarks, shape), scene.coarseness)
    mask = scene.mask * np.clip(put_back(_soft(part), landmarks, shape), 0, 1)
    source = matched_colour(source, scene.image, mask)
    return regrained(source, scene.image, kept=_KEPT, rng=scene.grain), mask


def _part(scene: Scene) -> str:
    """Return a part of the face that the mask covers well enough, or that it covers most of."""
    landmarks = scene.points[:5]
    covered, chosen = {}, []
    for name in PARTS:
        where = put_back(_soft(name), landmarks, scene.mask.shape)
        covered[name] = float((where * scene.mask).sum())
        if covered[name] >= _COVERED * float(where.sum()):
            chosen.append(name)
    if not chosen:
        return max(covered, key=covered.__getitem__)
    return chosen[scene.rng.integers(len(chosen))]


def _radius(name: str) -> Floats:
    """Return for each pixel of a window how far it is from a part's middle, 1 at its edge."""
    (x, y), (wide, high) = PARTS[name]
    line = (np.arange(SIZE) + 0.5) / SIZE - 0.5
    across = (MIDDLE[0] + SIDE * line - x) / wide
    down = (MIDDLE[1] + SIDE * line - y) / high
    return np.asarray(np.hypot(across[None], down[:, None]), np.float32)


def _soft(name: str) -> Floats:
    return np.asarray(np.clip((1.1 - _radius(name)) / 0.3, 0, 1), np.float32)


def _hard(name: str) -> Floats:
    return np.asarray(_radius(name) < 1.2, np.float32)


def _shapes() -> dict[str, tuple[int, ...]]:
    # Each picture of 64 px is seen as 12 channels of 32 px; the hole is one channel.
    a, b, c = _WIDTHS
    layers = {
        "in": (25, a), "down.1": (a, b), "down.2": (b, c), "middle": (c, c),
        "up.2": (c + b, b), "up.1": (b + a, a), "out": (a, 12),
    }  # fmt: skip
    shapes: dict[str, tuple[int, ...]] = {}
    for name, (inputs, outputs) in layers.items():
        shapes |= {f"{name}.w": (outputs, inputs, 3, 3), f"{name}.b": (outputs,)}
    for level, width in enumerate(_WIDTHS):
        shapes |= {f"angle.{level}.w": (4, width), f"angle.{level}.b": (width,)}
        # Faces are aligned, so each place of a window has something of its own to learn.
        shapes |= {f"place.{level}.b": (width, SIZE // 2 >> level, SIZE // 2 >> level)}
    return shapes


def _denoise(
    w: Tensors, noisy: torch.Tensor, known: torch.Tensor, hole: torch.Tensor, angle: torch.Tensor
) -> torch.Tensor:
    """Return what is under the noise (N, 3, S, S), for noise of angles (N,) from 0 to π/2."""
    import torch
    from torch.nn.functional import avg_pool2d, interpolate, pixel_shuffle, pixel_unshuffle, silu

    told = torch.stack([angle.cos(), angle.sin(), (2 * angle).cos(), (2 * angle).sin()], 1)

    def layer(x: torch.Tensor, name: str, level: int, *, stride: int = 1) -> torch.Tensor:
        shift = told @ w[f"angle.{level}.w"] + w[f"angle.{level}.b"]
        there = shift[..., None, None] + w[f"place.{level}.b"]
        return silu(conv(x, w, name, stride=stride) + there)

    def twice(x: torch.Tensor) -> torch.Tensor:
        return interpolate(x, scale_factor=2.0, mode="nearest")

    seen = torch.cat(
        [pixel_unshuffle(noisy, 2), pixel_unshuffle(known * (1 - hole), 2), avg_pool2d(hole, 2)], 1
    )
    fine = layer(seen, "in", 0)
    half = layer(fine, "down.1", 1, stride=2)
    quarter = layer(half, "down.2", 2, stride=2)
    quarter = quarter + layer(quarter, "middle", 2)
    half = layer(torch.cat([twice(quarter), half], 1), "up.2", 1)
    fine = layer(torch.cat([twice(half), fine], 1), "up.1", 0)
    # Where there is little noise, most of what is seen is kept, as in Karras et al., 2022.
    noise = angle.tan()[:, None, None, None]
    both = noise**2 + _LEFT**2
    seen_again = noisy / angle.cos()[:, None, None, None]
    drawn = pixel_shuffle(conv(fine, w, "out"), 2)
    clean: torch.Tensor = _LEFT**2 / both * seen_again + noise * _LEFT / both.sqrt() * drawn
    return clean


def _fitted(crops: Floats, *, seed: int, steps: int) -> Weights:
    import torch

    generator = torch.Generator().manual_seed(seed)
    pictures = as_batch(crops)
    holes = torch.from_numpy(np.stack([_hard(name) for name in PARTS]))[:, None]
    w = start(_shapes(), generator)

    def loss(_: int) -> torch.Tensor:
        chosen = torch.randint(len(pictures), (BATCH,), generator=generator)
        clean = jittered(pictures[chosen], generator)
        hole = holes[torch.randint(len(holes), (BATCH,), generator=generator)]
        angle = torch.rand(BATCH, generator=generator) * (_MOST_NOISE * math.pi / 2)
        noise = torch.randn(clean.shape, generator=generator)
        share = angle[:, None, None, None]
        noisy = share.cos() * clean + share.sin() * noise
        return unlike(_denoise(w, noisy, clean, hole, angle), clean, 0.1 + hole)

    descend(w, loss, steps=steps, rate=_RATE, name=NAME)
    return Weights.pack(w)

"""The classic face swap: one encoder for all, a decoder for each person.

In go the pictures of the people of one split, out comes for each donor what is needed to render
their face in the pose and light of somebody else: the encoder sees the target's face, the donor's
decoder draws it. All are fitted together on bent pictures whose unbent ones are to be given back.

A film shows a person in thousands of pictures, here there are a few. So a decoder's first layer,
which lays out the face, is the person's own, and the layers that enlarge it are shared.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING

from gendkit.data.forge.aligned import put_back, window_of
from gendkit.data.forge.blending import matched_colour, regrained
from gendkit.data.forge.fitting import (
    BATCH,
    SIZE,
    People,
    Tensors,
    as_batch,
    as_crop,
    bent,
    conv,
    descend,
    face_weight,
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

NAME = "autoencoder"
CODE = 80
_SEEN = 32  # the encoder sees the window at this size: pose, mouth and light need no more
_GRID, _FIRST = 4, 64
_ENCODER = (3, 24, 48, 80)
_DECODER = (_FIRST, 56, 40, 28)
_RATE = 3e-3
_SCATTER = 0.3
# What part of the target's own detail is kept, by octave, the finest first.
_KEPT = (0.8, 0.7, 0.5)
STEPS, STEPS_EACH, MOST_STEPS = 600, 50, 3000


def fit_autoencoder(
    people: People, *, seed: int, steps: int | None = None
) -> Callable[[str], Weights]:
    """Fit on people of one split; return a function from a donor's name to their weights.

    Parameters
    ----------
    steps
        Of 16 pictures each; by default more for more people.
    """
    crops, who = windows(people)
    count = min(STEPS + STEPS_EACH * len(people), MOST_STEPS) if steps is None else steps
    weights = kept(
        NAME, [crops, who, seed, count], lambda: _fitted(crops, who, seed=seed, steps=count)
    )
    shared = [name for name, *_ in weights.arrays if not name.startswith("own.")]
    own = {name: f"own.{number}" for number, name in enumerate(people)}
    return lambda donor: weights.only([*shared, own[donor] + ".w", own[donor] + ".b"])


def autoencoder(scene: Scene) -> tuple[Floats, Floats]:
    """Render the target's face by the donor's decoder, in the target's colours.

    Source: the method of "faceswap" (2017), described in Perov et al., "DeepFaceLab", 2020.
    """
    import torch

    weights = scene.weights
    landmarks = scene.points[:5]
    with torch.inference_mode():
        tensors = weights.tensors()
        crop = as_batch(window_of(scene.image, landmarks, size=SIZE)[None]).double()
        own = next(name for name in tensors if name.startswith("own."))[:-2]
        drawn = as_crop(_decode(tensors, _encode(tensors, crop), *_own(tensors, own)))
    source = coarse(put_back(drawn, landmarks, scene.image.shape), scene.coarseness)
    source = matched_colour(source, scene.image, scene.mask)
    return regrained(source, scene.image, kept=_KEPT, rng=scene.grain), scene.mask


def _shapes(people: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for i, (a, b) in enumerate(itertools.pairwise(_ENCODER)):
        shapes |= {f"see.{i}.w": (b, a, 3, 3), f"see.{i}.b": (b,)}
    flat = _ENCODER[-1] * (_SEEN // 8) ** 2
    shapes |= {"code.w": (flat, CODE), "code.b": (CODE,)}
    laid_out = _FIRST * _GRID**2
    shapes |= {"own.w": (people, CODE, laid_out), "own.b": (people, laid_out)}
    for i, (a, b) in enumerate(itertools.pairwise(_DECODER)):
        shapes |= {f"draw.{i}.w": (4 * b, a, 3, 3), f"draw.{i}.b": (4 * b,)}
    return shapes | {"last.w": (12, _DECODER[-1], 3, 3), "last.b": (12,)}


def _encode(w: Tensors, window: torch.Tensor) -> torch.Tensor:
    """Return codes (N, CODE) of windows (N, 3, SIZE, SIZE), all of one length."""
    from torch.nn.functional import avg_pool2d, leaky_relu

    x = avg_pool2d(window, SIZE // _SEEN)
    for i in range(len(_ENCODER) - 1):
        x = leaky_relu(conv(x, w, f"see.{i}", stride=2), 0.1)
    code = x.flatten(1) @ w["code.w"] + w["code.b"]
    scale: torch.Tensor = CODE**0.5 / (code.norm(dim=1, keepdim=True) + 1e-6)
    return code * scale


def _decode(
    w: Tensors, code: torch.Tensor, matrix: torch.Tensor, offset: torch.Tensor
) -> torch.Tensor:
    """Return windows of codes, drawn by each one's own matrix (N, CODE, …) and offset (N, …)."""
    from torch.nn.functional import leaky_relu, pixel_shuffle

    x = (code[:, None] @ matrix)[:, 0] + offset
    x = leaky_relu(x.reshape(-1, _FIRST, _GRID, _GRID), 0.1)
    for i in range(len(_DECODER) - 1):
        x = leaky_relu(pixel_shuffle(conv(x, w, f"draw.{i}"), 2), 0.1)
    return pixel_shuffle(conv(x, w, "last"), 2)


def _own(w: Tensors, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    return w[f"{name}.w"][None], w[f"{name}.b"][None]


def _fitted(crops: Floats, who: list[int], *, seed: int, steps: int) -> Weights:
    import torch
    from torch.nn.functional import affine_grid, grid_sample

    generator = torch.Generator().manual_seed(seed)
    pictures, owner = as_batch(crops), torch.tensor(who)
    people = int(owner.max()) + 1
    w = start(_shapes(people), generator)
    weight = face_weight()
    straight = affine_grid(torch.eye(2, 3)[None], [1, 3, SIZE, SIZE], align_corners=False)

    def loss(_: int) -> torch.Tensor:
        chosen = torch.randint(len(pictures), (BATCH,), generator=generator)
        wanted = jittered(pictures[chosen], generator)
        grid = straight + bent(BATCH, SIZE, generator)
        seen = grid_sample(wanted, grid, padding_mode="reflection", align_corners=False)
        of = owner[chosen]
        # A decoder will be given the codes of others, so its own are scattered.
        code = _encode(w, seen)
        code = code + _SCATTER * torch.randn(code.shape, generator=generator)
        drawn = _decode(w, code, w["own.w"][of], w["own.b"][of])
        return unlike(drawn, wanted, weight)

    descend(w, loss, steps=steps, rate=_RATE, name=NAME)
    matrices, offsets = w.pop("own.w"), w.pop("own.b")
    for number in range(people):
        w |= {f"own.{number}.w": matrices[number], f"own.{number}.b": offsets[number]}
    return Weights.pack(w)

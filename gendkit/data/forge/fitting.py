"""How the small networks of forgeries are fitted: seeded, on one thread, in about a minute.

In go starting values, pictures and a loss, out come fitted tensors. Networks here are functions of
a dictionary of tensors: drawn from a generator of their own, so that nothing seeds the process.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import numpy as np

from gendkit.data.forge.aligned import window_of
from gendkit.data.forge.geometry import Floats
from gendkit.data.forge.plan import Subject

if TYPE_CHECKING:
    import torch

People = Mapping[str, Sequence[Callable[[], Subject]]]
"""By name, functions that give the pictures of each person, so that one is held at a time."""
Tensors = dict[str, "torch.Tensor"]

SIZE = 64
"""Side of the window that networks see, in pixels."""
BATCH = 16
_WARM_UP = 40
_LAST = 0.03
# Jitter of a picture: brightness, colour, light from one side; turn, size, shift; bending.
_GAIN, _TINT, _SHADE = 0.15, 0.05, 0.25
_TURN, _ZOOM, _SHIFT = 0.05, 0.03, 0.02
_BEND = 0.04


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread, so that the number of cores does not change the result."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def windows(people: People, *, size: int = SIZE) -> tuple[Floats, list[int]]:
    """Return all windows (N, size, size, 3) from 0 to 255 and the number of the person of each."""
    crops, who = [], []
    for number, subjects in enumerate(people.values()):
        for subject in (give() for give in subjects):
            crops.append(window_of(subject.image, subject.landmarks, size=size))
            who.append(number)
    return np.stack(crops), who


def start(shapes: Mapping[str, tuple[int, ...]], generator: torch.Generator) -> Tensors:
    """Draw starting values: zeros for names in `.b`, else by the number of inputs (He 2015).

    The inputs of a convolution's weight (out, in, k, k) are in · k · k; of any other tensor they
    are the last dimension but one.
    """
    import torch

    tensors = {}
    for name, shape in shapes.items():
        if name.endswith(".b"):
            tensors[name] = torch.zeros(shape)
        else:
            inputs = math.prod(shape[1:]) if len(shape) == 4 else shape[-2]
            tensors[name] = torch.randn(shape, generator=generator) * math.sqrt(2 / inputs)
    return tensors


def descend(
    tensors: Tensors,
    loss: Callable[[int], torch.Tensor],
    *,
    steps: int,
    rate: float,
    name: str,
) -> None:
    """Change the tensors in place by Adam, with a warm-up and a cosine that ends near 0.

    A bar with the name shows in a terminal or notebook how far it is.
    """
    import torch

    from gendkit.progress import Bars

    for name, tensor in tensors.items():
        # Convolutions of a CPU are a third faster with the channels last.
        fast = tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor
        tensors[name] = fast.requires_grad_(True)
    optimiser = torch.optim.Adam(list(tensors.values()), lr=rate, betas=(0.6, 0.99), fused=True)
    bars = Bars()
    with one_thread(), closing(bars):
        for step in range(steps):
            warm = min(1.0, (step + 1) / _WARM_UP)
            cosine = 0.5 * (1 + math.cos(math.pi * step / steps))
            for group in optimiser.param_groups:
                group["lr"] = rate * warm * max(cosine, _LAST)
            optimiser.zero_grad()
            loss(step).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            bars(step + 1, steps, f"fit {name}")
    for tensor in tensors.values():
        tensor.requires_grad_(False)


def conv(x: torch.Tensor, w: Mapping[str, torch.Tensor], name: str, *, stride: int = 1) -> (
    torch.Tensor
):  # fmt: skip
    """Return the convolution of a batch with the weight `name.w` and the bias `name.b`."""
    from torch.nn.functional import conv2d

    kernel = w[f"{name}.w"]
    return conv2d(x, kernel, w[f"{name}.b"], stride=stride, padding=kernel.shape[-1] // 2)


def as_batch(crops: Floats) -> torch.Tensor:
    """Return crops (N, S, S, 3) from 0 to 255 as a batch (N, 3, S, S) from -1 to 1."""
    import torch

    return torch.from_numpy(crops).permute(0, 3, 1, 2).contiguous() / 127.5 - 1


def as_crop(batch: torch.Tensor) -> Floats:
    """Return the first of a batch as a crop (S, S, 3) from 0 to 255."""
    crop = ((batch[0] + 1) * 127.5).permute(1, 2, 0).numpy()
    return np.ascontiguousarray(crop, np.float32)


def jittered(batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return a batch (N, 3, S, S) in other light, and each face moved a little.

    One photo of a person has to do for what is otherwise a film of them.
    """
    import torch
    from torch.nn.functional import affine_grid, grid_sample

    n, side = len(batch), batch.shape[-1]

    def even(*shape: int) -> torch.Tensor:
        return 2 * torch.rand((n, *shape), generator=generator) - 1

    line = torch.linspace(-0.5, 0.5, side)
    shade = line[None, None, None] * even(1, 1, 1) + line[None, None, :, None] * even(1, 1, 1)
    gain = (1 + _GAIN * even(1, 1, 1)) * (1 + _SHADE * shade)
    batch = (batch + 1) * gain - 1 + 2 * _TINT * even(3, 1, 1)
    turn, zoom, shift = _TURN * even(), 1 + _ZOOM * even(), _SHIFT * even(2)
    cosine, sine = zoom * turn.cos(), zoom * turn.sin()
    matrix = torch.stack(
        [torch.stack([cosine, -sine, shift[:, 0]], 1), torch.stack([sine, cosine, shift[:, 1]], 1)],
        1,
    )
    grid = affine_grid(matrix, list(batch.shape), align_corners=False)
    return grid_sample(batch, grid, padding_mode="reflection", align_corners=False)


def bent(n: int, side: int, generator: torch.Generator) -> torch.Tensor:
    """Return smooth random shifts (n, side, side, 2) for a sampling grid from -1 to 1."""
    import torch
    from torch.nn.functional import interpolate

    coarse = _BEND * torch.randn((n, 2, 5, 5), generator=generator)
    fine = interpolate(coarse, (side, side), mode="bicubic", align_corners=True)
    return fine.permute(0, 2, 3, 1)


def unlike(output: torch.Tensor, wanted: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return how much two batches differ, in their values and in the steps between pixels."""
    return (
        ((output - wanted).abs() * weight).mean()
        + ((output - wanted).diff(dim=-1).abs() * weight[..., 1:]).mean()
        + ((output - wanted).diff(dim=-2).abs() * weight[..., 1:, :]).mean()
    )


def face_weight(size: int = SIZE) -> torch.Tensor:
    """Return how much each pixel of a window counts (1, 1, size, size): the face most."""
    import torch

    line = (torch.arange(size) + 0.5) / size - 0.5
    radius = (line[None] / 0.40) ** 2 + (line[:, None] / 0.48) ** 2
    return (0.1 + 0.9 * torch.sigmoid((1 - radius) * 8))[None, None]

"""Gaussian blur of a batch, each picture by a kernel of its own, on any device.

Sums are taken in the same order whatever else is in the batch, so that a picture's blur does not
depend on the others, as a grouped convolution's may. kornia's takes one size of kernel a call.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def gaussian_blur(images: Tensor, kernels: Sequence[int], sigmas: Sequence[float]) -> Tensor:
    """Blur pictures, mirroring at the edges without repeating them, and round once.

    Parameters
    ----------
    images
        (B, 3, H, W) uint8.
    kernels
        (B,) odd sides of the kernels, in pixels.
    sigmas
        (B,) standard deviations, in pixels.

    Returns
    -------
    Tensor
        (B, 3, H, W) uint8 on the same device.
    """
    blurred = images.clone()
    for kernel in sorted(set(kernels)):
        chosen = [i for i, side in enumerate(kernels) if side == kernel]
        which = torch.tensor(chosen, device=images.device)
        done = _blurred(images[which], kernel, np.asarray(sigmas)[chosen])
        blurred.index_copy_(0, which, done)
    return blurred


def _blurred(images: Tensor, kernel: int, sigmas: np.ndarray) -> Tensor:
    """Blur pictures (B, 3, H, W) with kernels of one size."""
    reach = kernel // 2
    offsets = np.arange(-reach, reach + 1)
    weights = np.exp(-(offsets**2) / (2 * sigmas[:, None] ** 2))
    weights = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    factors = torch.from_numpy(weights).to(images.device)[:, :, None, None, None]
    height, width = images.shape[2:]
    around = images.float()
    for dim, length in ((2, height), (3, width)):
        mirrored = _mirror(length, reach).to(images.device)
        around = around.index_select(dim, mirrored)
    rows, both = torch.zeros((), device=images.device), torch.zeros((), device=images.device)
    for i in range(kernel):
        rows = rows + factors[:, i] * around[:, :, i : i + height]
    for i in range(kernel):
        both = both + factors[:, i] * rows[..., i : i + width]
    return both.round().to(torch.uint8)


def _mirror(length: int, reach: int) -> Tensor:
    """Return which pixels stand at -reach to length + reach - 1: ... 2 1 0 1 2 ..."""
    at = np.arange(-reach, length + reach) % max(2 * (length - 1), 1)
    return torch.from_numpy(np.minimum(at, 2 * (length - 1) - at) if length > 1 else at * 0)

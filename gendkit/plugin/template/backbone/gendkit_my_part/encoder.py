"""A small vision transformer: from pixels (B, 3, S, S) to pooled features (B, D)."""

from __future__ import annotations

import torch
from gendkit.errors import InvalidOption
from torch import Tensor, nn
from torch.nn import functional as F

PATCH, HEADS = 8, 4


class Block(nn.Module):
    """Attention and then two linear layers, each on normalised tokens and added to them."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.up = nn.Linear(dim, 4 * dim)
        self.down = nn.Linear(4 * dim, dim)
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        """Return the tokens (B, N, D) after the block."""
        qkv = self.qkv(self.norm1(x)).unflatten(-1, (3, HEADS, -1))  # (B, N, 3, heads, D / heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = x + self.out(seen)
        added: Tensor = self.down(F.gelu(self.up(self.norm2(x))))
        return x + added


class Encoder(nn.Module):
    """Patches to tokens, blocks, a last norm, and the mean of the tokens.

    Parameters
    ----------
    dim
        Length D of a token and of the feature.
    side
        Of the picture in pixels, a multiple of 8.
    depth
        Number of blocks.

    Raises
    ------
    InvalidOption
        For another side.
    """

    def __init__(self, *, dim: int, side: int, depth: int) -> None:
        super().__init__()
        if side < PATCH or side % PATCH:
            raise InvalidOption(f"image_size is {side}; expected a multiple of {PATCH}.")
        self.patches = nn.Conv2d(3, dim, PATCH, PATCH)
        self.blocks = nn.ModuleList(Block(dim) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)
        # Drawn last, so that the other weights are the same at every image size.
        self.position = nn.Parameter(0.02 * torch.randn(1, (side // PATCH) ** 2, dim))

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the features (B, D)."""
        x = self.patches(pixels).flatten(2).transpose(1, 2) + self.position
        for block in self.blocks:
            x = block(x)
        feature: Tensor = self.norm(x).mean(dim=1)
        return feature

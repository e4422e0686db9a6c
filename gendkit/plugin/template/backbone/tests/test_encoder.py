"""The encoder against torch's own transformer block, and its weights against themselves."""

from __future__ import annotations

import pytest
import torch
from gendkit import build_backbone
from gendkit.errors import InvalidOption
from torch import nn

from gendkit_my_part.encoder import HEADS, Block

NAME = "my-part"


def test_a_block_is_the_transformer_block_of_torch() -> None:
    ours = Block(32).eval()
    theirs = nn.TransformerEncoderLayer(
        32, HEADS, 128, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    ).eval()
    # Both have attention, the two linear layers and the two norms, in this order.
    weights = zip(theirs.state_dict(), ours.state_dict().values(), strict=True)
    theirs.load_state_dict(dict(weights))
    tokens = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ours(tokens), theirs(tokens))


def test_the_weights_are_fixed_and_leave_the_state_of_the_process() -> None:
    before = torch.get_rng_state()
    first, second = (build_backbone(NAME).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.equal(torch.get_rng_state(), before)
    other = build_backbone(NAME, pretrained=False).state_dict()
    assert not torch.equal(first["patches.weight"], other["patches.weight"])


def test_a_size_that_is_no_multiple_of_the_patch_is_refused() -> None:
    with pytest.raises(InvalidOption, match="image_size is 60; expected a multiple of 8"):
        build_backbone(NAME, image_size=60)

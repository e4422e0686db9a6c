"""The loss against numbers that are known without it."""

from __future__ import annotations

import pytest
import torch
from gendkit.errors import InvalidOption
from gendkit.plugin import LossInputs, plugins
from torch.nn import functional as F


def inputs() -> LossInputs:
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 2, generator=draw)
    z = F.normalize(torch.randn(6, 8, generator=draw), dim=1)
    return LossInputs(logits=logits, embeddings=z, labels=torch.tensor([0, 1, 1, 0, 1, 0]))


def test_without_gamma_it_is_cross_entropy() -> None:
    loss = plugins().spec("loss", "my-part").build(gamma=0.0)
    expected = F.cross_entropy(inputs().logits, inputs().labels)
    torch.testing.assert_close(loss(inputs()), expected)


def test_a_crop_that_is_half_right_counts_by_a_half_to_the_power_of_gamma() -> None:
    even = LossInputs(
        logits=torch.zeros(1, 2), embeddings=torch.ones(1, 1), labels=torch.tensor([1])
    )
    loss = plugins().spec("loss", "my-part").build(gamma=2.0)
    torch.testing.assert_close(loss(even), torch.tensor(2.0).log() / 4)


def test_a_gamma_without_a_finite_gradient_is_refused() -> None:
    with pytest.raises(InvalidOption, match=r"gamma is 0\.5; expected 0, or 1 or more"):
        plugins().spec("loss", "my-part").build(gamma=0.5)

"""The built-in losses by name: built by their specs, they are those of the method."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from gendkit.model.losses import alignment, uniformity
from gendkit.plugin.manager import plugins
from gendkit.plugin.protocols import LossInputs

generator = torch.Generator().manual_seed(0)
INPUTS = LossInputs(
    logits=torch.randn(8, 2, generator=generator),
    embeddings=F.normalize(torch.randn(8, 5, generator=generator), dim=1),
    labels=torch.arange(8) % 2,
)
EXPECTED = {
    "cross-entropy": -F.log_softmax(INPUTS.logits, dim=1)[range(8), INPUTS.labels].mean(),
    "uniformity": uniformity(INPUTS.embeddings),
    "alignment": alignment(INPUTS.embeddings, INPUTS.labels),
}


def test_there_are_those_of_the_method() -> None:
    ours = {
        p.name for p in plugins().parts if p.kind == "loss" and p.source.distribution == "gendkit"
    }
    assert ours == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_loss_by_name_is_that_of_the_method(name: str) -> None:
    loss = plugins().spec("loss", name).build()
    torch.testing.assert_close(loss(INPUTS), EXPECTED[name])


@pytest.mark.parametrize("name", ["uniformity", "alignment"])
def test_metric_losses_say_where_they_were_published(name: str) -> None:
    assert "ICML 2020" in plugins().spec("loss", name).reference

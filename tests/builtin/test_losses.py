"""The built-in losses by name: built by their specs, they are those of the method."""

from __future__ import annotations

import math
from dataclasses import replace

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
    pair=("a", "a", "b", "a", "", "", "c", "b"),
)
MARGIN = (INPUTS.logits[:, 1] - INPUTS.logits[:, 0]).tolist()
EXPECTED = {
    "cross-entropy": -F.log_softmax(INPUTS.logits, dim=1)[range(8), INPUTS.labels].mean(),
    "uniformity": uniformity(INPUTS.embeddings),
    "alignment": alignment(INPUTS.embeddings, INPUTS.labels),
    # Real 0 has the fakes 1 and 3, real 2 the fake 7; 4, 5 and 6 have nothing in the batch.
    "pair-ranking": torch.tensor(
        [math.log1p(math.exp(MARGIN[r] - MARGIN[f])) for f, r in ((1, 0), (3, 0), (7, 2))]
    ).mean(),
}


def test_there_are_those_of_the_method_and_one_for_pairs() -> None:
    ours = {
        p.name for p in plugins().parts if p.kind == "loss" and p.source.distribution == "gendkit"
    }
    assert ours == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_loss_by_name_is_what_it_is_said_to_be(name: str) -> None:
    loss = plugins().spec("loss", name).build()
    torch.testing.assert_close(loss(INPUTS), EXPECTED[name])


@pytest.mark.parametrize("name", ["uniformity", "alignment"])
def test_metric_losses_say_where_they_were_published(name: str) -> None:
    assert "ICML 2020" in plugins().spec("loss", name).reference


def test_ranking_asks_nothing_of_a_batch_without_pairs_and_nothing_of_what_moves_both() -> None:
    ranking = plugins().spec("loss", "pair-ranking").build()
    logits = INPUTS.logits.clone().requires_grad_()
    alone = ranking(replace(INPUTS, logits=logits, pair=("",) * 8))
    alone.backward()
    assert alone.item() == 0
    assert not logits.grad.any()
    moved = INPUTS.logits + torch.tensor([[0.0, 3.0]])
    torch.testing.assert_close(ranking(replace(INPUTS, logits=moved)), EXPECTED["pair-ranking"])

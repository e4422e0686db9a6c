"""Gradient caching: the gradient of the whole batch, a micro-batch of graph at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from gendkit.model.adapter import header_of
from gendkit.model.backbone import build_backbone
from gendkit.model.tuning import tune_layer_norms
from gendkit.plugin.manager import plugins
from gendkit.train.losses import Weighted
from gendkit.train.recipe import Recipe
from gendkit.train.trainer import Trainer

from .conftest import Fit

CROPS = 12
SIZES = (1, 2, 5, 7, 11, 12, 100)
LOSSES = (
    {"cross-entropy": 1.0},
    {"uniformity": 1.0},
    {"alignment": 1.0},
    {"cross-entropy": 1.0, "uniformity": 0.5, "alignment": 0.1},
)


def trainer_of(recipe: Recipe, dtype: torch.dtype) -> Trainer:
    spec = plugins().spec("backbone", "small")
    backbone = build_backbone(spec)
    header = header_of(backbone, spec, spec.preprocessing, source="gendkit.testing")
    tune_layer_norms(backbone)
    trainer = Trainer(recipe, spec, backbone.to(dtype), header, "cpu")
    trainer.head.to(dtype)
    return trainer


def step(trainer: Trainer, dtype: torch.dtype) -> dict[str, float]:
    rng = np.random.default_rng(0)
    pixels = torch.from_numpy(rng.standard_normal((CROPS, 3, 32, 32))).to(dtype)
    nobody = np.full(CROPS, "", dtype=object)
    people = dict.fromkeys(("pair", "target_identity", "donor_identity"), nobody)
    labels = np.array([0, 1, 1] * (CROPS // 3))
    return trainer.step(pixels, {"label": labels, **people}, np.arange(CROPS))


def gradients(trainer: Trainer) -> dict[str, Tensor]:
    head = {f"head.{name}": p for name, p in trainer.head.named_parameters()}
    every = {**trainer.norms, **head}
    return {name: p.grad.clone() for name, p in every.items() if p.grad is not None}


@pytest.mark.parametrize("losses", LOSSES, ids=lambda losses: "+".join(losses))
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)], ids=str
)
def test_the_gradient_is_that_of_the_whole_batch_whatever_the_size(
    recipe: Recipe, losses: dict[str, float], dtype: torch.dtype, tolerance: float
) -> None:
    """Of each layer norm and of the head, by the norm of the difference over its own."""
    whole = trainer_of(Recipe.of(recipe, losses=losses), dtype)
    values, expected = step(whole, dtype), gradients(whole)
    assert set(expected) >= set(whole.norms)
    for size in SIZES:
        cached = trainer_of(Recipe.of(recipe, losses=losses, micro_batch=size), dtype)
        assert step(cached, dtype) == pytest.approx(values, rel=tolerance)
        found = gradients(cached)
        assert set(found) == set(expected)
        for name, gradient in expected.items():
            error = (found[name] - gradient).norm() / gradient.norm()
            assert error <= tolerance, (size, name)


def test_no_more_crops_than_a_micro_batch_have_a_graph(recipe: Recipe) -> None:
    trainer = trainer_of(Recipe.of(recipe, micro_batch=5), torch.float32)
    seen: list[tuple[int, bool]] = []
    trainer.backbone.register_forward_hook(
        lambda module, args, out: seen.append((len(out), out.requires_grad))
    )
    step(trainer, torch.float32)
    assert seen == [(size, graph) for graph in (False, True) for size in (5, 5, 2)]


def test_a_run_in_micro_batches_is_the_run_in_whole_ones(fit: Fit) -> None:
    whole, cached = fit(), fit(micro_batch=3)
    np.testing.assert_allclose(whole.history["loss"], cached.history["loss"], rtol=1e-4)
    for name, tensor in whole.adapter.norms.items():
        torch.testing.assert_close(cached.adapter.norms[name], tensor, rtol=0, atol=1e-3)


def test_a_loss_that_looks_at_no_embedding_moves_nothing(recipe: Recipe) -> None:
    trainer = trainer_of(Recipe.of(recipe, micro_batch=5), torch.float32)
    constant = Weighted(weight=1.0, loss=lambda inputs: trainer.head.bias.sum())
    trainer.losses = {"constant": constant}
    step(trainer, torch.float32)
    assert set(gradients(trainer)) == {"head.bias"}

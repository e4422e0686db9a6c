"""Every recipe's forward pass and losses stay on the GPU; shown without one, by fake tensors.

A fake tensor has a shape, a dtype and a device, but no numbers. The backward pass does not run on
them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gendkit.device import compute
from gendkit.model.backbone import build_backbone
from gendkit.model.head import Head
from gendkit.model.losses import normalise, shared_gram
from gendkit.model.tuning import norm_layers, norm_types
from gendkit.plugin.manager import plugins
from gendkit.plugin.protocols import LossInputs
from gendkit.plugin.specs import LossSpec
from gendkit.testing.elsewhere import onto_cuda
from gendkit.testing.small import DIM, SIDE, registered, small_backbone
from gendkit.train.build import tune
from gendkit.train.losses import build_losses
from gendkit.train.presets import PRESETS
from gendkit.train.recipe import Recipe

BATCH, DEPTH = 4, 2


class Meetings(TorchDispatchMode):
    """Notes each operation in which the GPU meets the CPU, which a step would have to wait for.

    What is made on the CPU and then moved to the GPU meets nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        before, after = devices((args, kwargs)), devices(out)
        if "cuda" in before and len(before | after) > 1:
            self.found.append(f"{func} from {sorted(before)} to {sorted(after)}")
        return out


def devices(values: Any) -> set[str]:
    return {t.device.type for t in tree_leaves(values) if isinstance(t, Tensor)}


@contextmanager
def fake_cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give fake CUDA tensors to whoever asks for CUDA ones, and bfloat16 autocast on them."""
    monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    with FakeTensorMode():
        yield


def small_of(recipe: Recipe) -> nn.Module:
    """Return the recipe's backbone on the CPU, two blocks deep, with what it tunes."""
    spec = plugins().spec("backbone", recipe.backbone)
    backbone = build_backbone(spec, pretrained=False, image_size=recipe.image_size, depth=DEPTH)
    norms = len(list(norm_layers(backbone, norm_types(spec.norm_classes))))
    if recipe.tuned_norms is not None:  # of all blocks, of which there are fewer here
        recipe = Recipe.of(recipe, tuned_norms=min(recipe.tuned_norms, norms))
    tune(backbone, spec, recipe)
    return backbone


def left_on_the_cpu(recipe: Recipe, backbone: nn.Module) -> list[str]:
    """Run forward pass and losses on fake CUDA tensors; return what met the CPU, or ended there."""
    spec = plugins().spec("backbone", recipe.backbone)
    side = recipe.image_size or spec.image_size
    head = Head(spec.dim, generator=torch.Generator(), scale=recipe.logit_scale)
    losses = build_losses(recipe.losses, dim=spec.dim)
    backbone, head = onto_cuda(backbone), onto_cuda(head)
    pixels = torch.empty(BATCH, 3, side, side, device="cuda")
    labels = torch.empty(BATCH, dtype=torch.int64, device="cuda")
    with Meetings() as meetings:
        with compute(recipe.dtype, "cuda"):
            features = backbone(pixels)
        z = normalise(features)
        inputs = LossInputs(
            logits=head(z),
            embeddings=z,
            labels=labels,
            pair=("a",) * BATCH,
            target_identity=("ann",) * BATCH,
            donor_identity=("",) * BATCH,
        )
        with shared_gram():
            terms = {name: loss(inputs) for name, loss in losses.items()}
    results = {"features": features, "embeddings": z, "logits": inputs.logits, **terms}
    assert z.dtype == torch.float32
    assert {tuple(t.shape) for t in terms.values()} == {()}
    return meetings.found + [
        f"{k} on the CPU" for k, t in results.items() if devices(t) != {"cuda"}
    ]


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_leaves_nothing_on_the_cpu(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe.of(name)
    backbone = small_of(recipe)
    with fake_cuda(monkeypatch):
        assert left_on_the_cpu(recipe, backbone) == []


def test_fake_autocast_is_the_real_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_cuda(monkeypatch), compute("bfloat16", "cuda"):
        x = torch.empty(2, 2, device="cuda")
        assert (x @ x).dtype == torch.bfloat16


def mixed(inputs: LossInputs) -> Tensor:
    return inputs.logits.mean() * torch.tensor(0.5)


def waits(inputs: LossInputs) -> Tensor:
    return inputs.logits.mean() * inputs.labels.cpu().float().mean().to("cuda")


def ends(inputs: LossInputs) -> Tensor:
    return torch.zeros(())


def moves(inputs: LossInputs) -> Tensor:
    return inputs.logits.mean() * torch.tensor(0.5, device="cuda")


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (mixed, r"aten\.mul\.Tensor from \['cpu', 'cuda'\] to \['cuda'\]"),
        (waits, r"aten\._to_copy\.default from \['cuda'\] to \['cpu'\]"),
        (ends, r"bad on the CPU"),
        (moves, ""),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_loss_that_leaves_a_tensor_on_the_cpu_is_caught(
    loss: Callable[[LossInputs], Tensor],
    expected: str,
    recipe: Recipe,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = LossSpec(name="bad", summary="leaves a tensor on the CPU", build=lambda: loss)
    with registered(small_backbone(), spec):
        one = Recipe.of(recipe, losses={"bad": 1.0})
        backbone = small_of(one)
        with fake_cuda(monkeypatch):
            found = left_on_the_cpu(one, backbone)
    assert re.fullmatch(expected, "; ".join(found))


def test_a_loss_of_a_whole_cpu_tensor_is_caught(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def vector(inputs: LossInputs) -> Tensor:
        return (inputs.logits * torch.ones(2)).mean()

    spec = LossSpec(name="bad", summary="leaves a tensor on the CPU", build=lambda: vector)
    with registered(small_backbone(), spec):
        one = Recipe.of(recipe, losses={"bad": 1.0})
        backbone = small_of(one)
        with fake_cuda(monkeypatch), pytest.raises(RuntimeError, match=r"cuda:0.*cpu"):
            left_on_the_cpu(one, backbone)


class Shifted(nn.Module):
    """A backbone with a tensor that is neither parameter nor buffer."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.shift = torch.zeros(3, SIDE, SIDE)

    def forward(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.backbone(pixels + self.shift)
        return features


def test_a_backbone_s_tensor_that_is_no_buffer_is_caught(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert small_of(recipe)(torch.zeros(1, 3, SIDE, SIDE)).shape == (1, DIM)
    backbone = Shifted(small_of(recipe))
    with fake_cuda(monkeypatch), pytest.raises(AssertionError, match=r"aten\.add\.Tensor"):
        left_on_the_cpu(recipe, backbone)

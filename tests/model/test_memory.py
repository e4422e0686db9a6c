"""What training holds: frozen weights once in the compute dtype, blocks' inputs alone."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import gendkit as gk
from gendkit.device import compute
from gendkit.errors import InvalidArgument, InvalidRecipe, WrongBackbone
from gendkit.model.adapter import Adapter, header_of
from gendkit.model.backbone import build_backbone, frozen_hash, norms_of
from gendkit.model.detector import Detector
from gendkit.model.memory import hold_frozen, recompute_blocks
from gendkit.model.towers import clip_tower
from gendkit.model.tuning import copy_of, norm_parameters, tune_layer_norms
from gendkit.plugin.manager import plugins
from gendkit.plugin.specs import BackboneSpec
from gendkit.train.build import tune
from gendkit.train.recipe import Recipe

SIZES = {
    "hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 8, "num_attention_heads": 4,
    "patch_size": 8, "image_size": 64,
}  # fmt: skip
ADDED = {
    "class_embedding", "positional_embedding", "cls_token", "pos_embed", "reg_token", "gamma",
    "gamma_1", "gamma_2", "q_bias", "v_bias", "latent",
}  # fmt: skip
"""Frozen numbers that are added or multiplied one by one."""
NAMES = ("dinov2-vits14", "clip-vitl14", "pe-core-l14", "dinov3-vitl16")


def shallow(name: str) -> tuple[nn.Module, BackboneSpec]:
    torch.manual_seed(0)
    spec = plugins().spec("backbone", name)
    module = build_backbone(spec, pretrained=False, depth=2)
    tune_layer_norms(module)
    return module, spec


def gradients(module: nn.Module, pixels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    module.zero_grad()
    with compute("bfloat16", "cpu"):
        features = module(pixels)
    features.float().pow(2).sum().backward()
    norms = norm_parameters(module)
    return features.detach(), {n: p.grad.clone() for n, p in norms.items() if p.grad is not None}


@pytest.mark.parametrize("name", NAMES)
def test_rounding_weights_once_changes_no_bit_of_a_step(name: str) -> None:
    module, spec = shallow(name)
    pixels = torch.randn(1, 3, 224, 224)
    before, known = gradients(module, pixels), frozen_hash(module, spec)
    hold_frozen(module, spec, torch.bfloat16, known=known)
    after = gradients(module, pixels)
    assert torch.equal(before[0], after[0])
    assert before[1].keys() == after[1].keys()
    assert all(torch.equal(before[1][n], after[1][n]) for n in before[1])
    assert frozen_hash(module, spec) == known


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["bitfit", "lora"])
def test_nor_does_it_where_something_else_is_tuned(name: str, kind: str) -> None:
    torch.manual_seed(0)
    spec = plugins().spec("backbone", name)
    module = build_backbone(spec, pretrained=False, depth=2)
    known = frozen_hash(module, spec)
    tune(module, spec, Recipe.of(kind, backbone=name))
    tuned = {n: p for n, p in module.named_parameters() if p.requires_grad}
    with torch.no_grad():
        for parameter in tuned.values():  # a product of factors is 0 at first
            parameter.add_(0.02 * torch.randn_like(parameter))
    pixels, direction = torch.randn(1, 3, 224, 224), torch.randn(spec.dim)

    def step() -> list[Tensor]:
        with compute("bfloat16", "cpu"):
            features = module(pixels)
        (features.float() @ direction).sum().backward()
        found = [features.detach(), *(p.grad for p in tuned.values() if p.grad is not None)]
        module.zero_grad()
        return found

    before = step()
    hold_frozen(module, spec, torch.bfloat16, known=known)
    after = step()
    assert len(before) == len(after) > 4
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    every = list(module.parameters())
    narrow = sum(p.numel() for p in every if p.dtype == torch.bfloat16)
    assert narrow > 0.7 * sum(p.numel() for p in every)


@pytest.mark.parametrize("name", NAMES)
def test_frozen_weights_are_held_once_in_two_bytes_and_norms_in_four(name: str) -> None:
    module, spec = shallow(name)
    hold_frozen(module, spec, torch.bfloat16, known=frozen_hash(module, spec))
    norms = norms_of(module, spec)
    assert {p.dtype for p in norms.values()} == {torch.float32}
    frozen = {n: p for n, p in module.named_parameters() if not p.requires_grad}
    wide = {n.rpartition(".")[2] for n, p in frozen.items() if p.dtype != torch.bfloat16}
    assert wide <= ADDED
    held: list[Tensor] = []

    def note(tensor: Tensor) -> Tensor:
        held.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda t: t), compute("bfloat16", "cpu"):
        module(torch.randn(1, 3, 224, 224))
    own = {p.untyped_storage().data_ptr() for p in module.parameters()}
    weights = {tuple(p.shape) for p in frozen.values() if p.ndim == 2}
    saved = [t for t in held if {tuple(t.shape), tuple(t.shape)[::-1]} & weights]
    assert len(saved) >= 4  # those of the first block; the last one is run again
    assert all(t.untyped_storage().data_ptr() in own for t in saved)


def test_weights_that_changed_after_they_were_rounded_have_no_hash() -> None:
    module, spec = shallow("dinov2-vits14")
    hold_frozen(module, spec, torch.bfloat16, known=frozen_hash(module, spec))
    with torch.no_grad():
        next(p for p in module.parameters() if p.dtype == torch.bfloat16).mul_(2)
    with pytest.raises(WrongBackbone, match="and then changed"):
        frozen_hash(module, spec)


def test_a_layer_norm_that_changes_leaves_the_hash() -> None:
    module, spec = shallow("dinov2-vits14")
    known = frozen_hash(module, spec)
    hold_frozen(module, spec, torch.bfloat16, known=known)
    with torch.no_grad():
        next(iter(norms_of(module, spec).values())).mul_(2)
    assert frozen_hash(module, spec) == known


def detector(module: nn.Module, spec: BackboneSpec, **options: str) -> Detector:
    header = header_of(module, spec, spec.preprocessing, source="tests", dtype="bfloat16")
    head = {"weight": torch.randn(2, spec.dim), "bias": torch.zeros(2)}
    adapter = Adapter(header=header, norms=copy_of(norms_of(module, spec)), head=head)
    return Detector(module, spec=spec, adapter=adapter, **options)  # type: ignore[arg-type]


def test_rounded_weights_do_not_compute_in_float32() -> None:
    module, spec = shallow("dinov2-vits14")
    hold_frozen(module, spec, torch.bfloat16, known=frozen_hash(module, spec))
    with pytest.raises(InvalidArgument, match=r"held in torch.bfloat16 and cannot .* float32"):
        detector(module, spec)
    assert detector(module, spec, dtype="bfloat16").dtype == "bfloat16"


def test_an_export_of_rounded_weights_has_them_as_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, spec = shallow("clip-vitl14")
    exact = copy.deepcopy(module)
    monkeypatch.setattr("gendkit.model.detector.build_backbone", lambda *a, **k: exact)
    hold_frozen(module, spec, torch.bfloat16, known=frozen_hash(module, spec))
    detector(module, spec, dtype="bfloat16").export(tmp_path / "out")
    found = gk.load(tmp_path / "out", device="cpu").backbone.state_dict()
    assert all(torch.equal(found[name], t) for name, t in exact.state_dict().items())


def test_blocks_that_run_again_have_the_same_gradients_to_the_bit() -> None:
    torch.manual_seed(0)
    module = clip_tower(SIZES)
    tune_layer_norms(module)
    pixels = torch.randn(2, 3, 64, 64)
    before = gradients(module, pixels)
    assert recompute_blocks(module) == SIZES["num_hidden_layers"]
    after = gradients(module, pixels)
    assert torch.equal(before[0], after[0])
    assert all(torch.equal(before[1][n], after[1][n]) for n in before[1])


def test_blocks_that_run_again_keep_their_inputs_alone() -> None:
    module = clip_tower(SIZES)
    tune_layer_norms(module)
    recompute_blocks(module)
    shapes: list[tuple[int, ...]] = []

    def note(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, nn.Parameter) and tensor.numel() > 1000:
            shapes.append(tuple(tensor.shape))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda t: t):
        module(torch.randn(2, 3, 64, 64))
    inputs = [shape for shape in shapes if shape == (2, 65, 64)]
    # One a block, the input of the norm before them; the tower's last block is run again twice.
    assert len(inputs) == len(shapes) <= SIZES["num_hidden_layers"] + 2


def test_a_backbone_without_blocks_cannot_run_them_again() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))
    with pytest.raises(InvalidRecipe, match="recompute is true, but Sequential has no list"):
        recompute_blocks(module)

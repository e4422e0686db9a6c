"""Low-rank factors and bias terms of the known encoders: where they are, and that all are used."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from gendkit.errors import InvalidCheckpoint, NothingToTune
from gendkit.model import gend, lora
from gendkit.model.adapter import Adapter, header_of
from gendkit.model.backbone import build_backbone
from gendkit.model.detector import Detector, load
from gendkit.model.kinds import Kind
from gendkit.model.towers import clip_tower
from gendkit.model.tuned import free, tensors_of
from gendkit.model.tuning import copy_of
from gendkit.plugin.manager import plugins
from gendkit.plugin.specs import BackboneSpec
from gendkit.testing.small import registered, small_backbone

DEPTH, RANK = 2, 4
WHERE = {
    "dinov2-vits14": {f"vit.blocks.{i}.attn.qkv": (384, 1152) for i in (0, 1)},
    "clip-vitl14": {f"visual.transformer.resblocks.{i}.attn": (1024, 3072) for i in (0, 1)},
    "pe-core-l14": {
        **{f"blocks.{i}.attn.qkv": (1024, 3072) for i in (0, 1)},
        "attn_pool.q": (1024, 1024),
        "attn_pool.kv": (1024, 2048),
    },
    "dinov3-vitl16": {f"blocks.{i}.attn.qkv": (1024, 3072) for i in (0, 1)},
}
SIZES = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
    "patch_size": 8, "image_size": 32,
}  # fmt: skip
OTHER: tuple[Kind, ...] = ("bitfit", "lora", "full")


def small_clip() -> tuple[nn.Module, BackboneSpec]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = clip_tower(SIZES)
    return module, replace(plugins().spec("backbone", "clip-vitl14"), dim=32, image_size=32)


def with_factors(module: nn.Module, *, rank: int = RANK) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    lora.add_factors(module, rank=rank, alpha=2.0 * rank, generator=generator)
    return lora.factors_of(module)


@pytest.mark.parametrize("name", WHERE)
def test_factors_are_beside_the_projections_of_attention(name: str) -> None:
    with torch.device("meta"):
        module = build_backbone(name, pretrained=False, depth=DEPTH)
    lora.add_factors(module, rank=RANK, alpha=1.0)
    shapes = {n: tuple(t.shape) for n, t in lora.factors_of(module).items()}
    expected = {}
    for layer, (width, out) in WHERE[name].items():
        expected |= {f"{layer}.lora_A.weight": (RANK, width), f"{layer}.lora_B.weight": (out, RANK)}
    assert shapes == expected


@pytest.mark.parametrize("kind", ["bitfit", "lora"])
@pytest.mark.parametrize("name", WHERE)
def test_all_that_is_tuned_gets_a_gradient(name: str, kind: Kind) -> None:
    spec = plugins().spec("backbone", name)
    size = 224 if name == "clip-vitl14" else 4 * (14 if name != "dinov3-vitl16" else 16)
    module = build_backbone(spec, pretrained=False, image_size=size, depth=DEPTH)
    if kind == "lora":
        with_factors(module)
    tuned = free(module, spec, kind)
    features = module(torch.linspace(-1, 1, 3 * size * size).reshape(1, 3, size, size))
    (features * torch.linspace(-1, 1, spec.dim)).sum().backward()
    own = dict(module.named_parameters())
    grads = {n: t.grad for n, t in tensors_of(module, spec, kind).items()}
    assert set(tuned.names) == set(grads)
    assert all(grad is not None for grad in grads.values())
    first = [n for n in grads if not n.endswith("lora_A.weight")]  # A has none while B is 0
    assert all(bool(grads[n].any()) for n in first)
    assert {n for n, p in own.items() if p.grad is not None} <= {
        n for n, p in own.items() if p.requires_grad
    }


def test_new_factors_change_no_feature() -> None:
    module, _ = small_clip()
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    before = module(pixels)
    with_factors(module)
    torch.testing.assert_close(module(pixels), before, rtol=0, atol=1e-6)


def test_factors_are_the_product_that_is_published() -> None:
    module, _ = small_clip()
    attention = module.get_submodule("visual.transformer.resblocks.0.attn")
    weight = attention.in_proj_weight.detach().clone()
    factors = with_factors(module)
    with torch.no_grad():
        for factor in factors.values():
            factor.uniform_(-1, 1, generator=torch.Generator().manual_seed(2))
    a, b = (factors[f"visual.transformer.resblocks.0.attn.lora_{k}.weight"] for k in "AB")
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    whole = lora.merged(module)
    assert not lora.factors_of(whole)
    own = whole.get_submodule("visual.transformer.resblocks.0.attn").in_proj_weight
    torch.testing.assert_close(own, weight + 2.0 * b @ a)
    torch.testing.assert_close(whole(pixels), module(pixels), rtol=1e-4, atol=1e-5)
    assert lora.factors_of(module)  # the copy alone was changed


@pytest.mark.parametrize("rotary", [False, True], ids=["ViT", "EVA with biases of its own"])
def test_merging_leaves_the_base_s_tensors_and_the_numbers_of_the_factors(rotary: bool) -> None:
    sizes = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        kind = Eva if rotary else VisionTransformer
        module = kind(**sizes, num_classes=0, global_pool="token").eval()
    names = {n: t.shape for n, t in module.state_dict().items()}
    factors, generator = with_factors(module), torch.Generator().manual_seed(2)
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    before = module(pixels)
    with torch.no_grad():
        for factor in factors.values():
            factor.uniform_(-1, 1, generator=generator)
    whole, after = lora.merged(module), module(pixels)
    assert {n: t.shape for n, t in whole.state_dict().items()} == names
    torch.testing.assert_close(whole(pixels), after, rtol=1e-4, atol=1e-4)
    assert (after - before).abs().max() > 0.01


def test_an_encoder_with_attention_of_another_type_besides_is_refused() -> None:
    class SomeAttention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.query = nn.Linear(4, 4)

    both = nn.ModuleDict({"block": SomeAttention(), "pool": nn.MultiheadAttention(4, 1)})
    with pytest.raises(NothingToTune, match="ModuleDict has SomeAttention, where lora knows"):
        lora.add_factors(both, rank=2, alpha=2.0)
    lora.add_factors(nn.ModuleDict({"pool": nn.MultiheadAttention(4, 1)}), rank=2, alpha=2.0)


def test_a_backbone_without_bias_terms_has_nothing_for_bitfit() -> None:
    spec = plugins().spec("backbone", "clip-vitl14")
    with pytest.raises(NothingToTune, match="Linear has nothing that bitfit tunes"):
        free(nn.Linear(2, 2, bias=False), spec, "bitfit")


def checkpoint(kind: Kind, module: nn.Module, spec: BackboneSpec) -> Adapter:
    """Return one whose numbers are all changed a little, and change the module so."""
    header = header_of(
        module, spec, spec.preprocessing, source=f"{gend.SOURCE}openai/clip-tiny", kind=kind,
        alpha=2.0 * RANK if kind == "lora" else None,
    )  # fmt: skip
    if kind == "lora":
        with_factors(module)
    tensors, generator = tensors_of(module, spec, kind), torch.Generator().manual_seed(3)
    with torch.no_grad():
        for tensor in tensors.values():
            tensor += 0.1 * torch.randn(tensor.shape, generator=generator)
    head = {"weight": torch.randn(2, spec.dim, generator=generator), "bias": torch.zeros(2)}
    return Adapter.holding(header, copy_of(tensors), head)


@pytest.mark.parametrize("kind", OTHER)
def test_any_kind_is_exported_to_the_layout_of_gend(kind: Kind, tmp_path: Path) -> None:
    module, spec = small_clip()
    adapter = checkpoint(kind, module, spec)
    detector = Detector(module, spec=spec, adapter=adapter)
    read = load(detector.export(tmp_path / "model"), device="cpu")
    pixels = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    ours, theirs = detector.forward(pixels).logit, read.forward(pixels).logit
    exact = kind != "lora"  # its weights are added up before, and not in each pass
    torch.testing.assert_close(
        torch.from_numpy(theirs), torch.from_numpy(ours), rtol=0, atol=0 if exact else 1e-5
    )
    assert read.adapter.header.kind == "layer-norms"


@pytest.mark.parametrize("kind", OTHER)
def test_an_encoder_that_the_layout_has_not_is_refused(kind: Kind, tmp_path: Path) -> None:
    with registered(small_backbone()):
        spec, module = plugins().spec("backbone", "small"), build_backbone("small")
        adapter = checkpoint(kind, module, spec)
        plain = replace(adapter, header=replace(adapter.header, source="gendkit"))
        with pytest.raises(InvalidCheckpoint, match="knows no encoder such as 'small'"):
            Detector(module, spec=spec, adapter=plain).export(tmp_path / "model")

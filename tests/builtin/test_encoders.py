"""The paper's three encoders at their true width: what a step changes, and how much is tuned.

Weights are random and two blocks deep, except where only shapes are counted, on the meta device.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import gendkit as gk
from gendkit.builtin import encoders
from gendkit.data.manifest import Manifest
from gendkit.errors import InvalidSpec, MissingAsset, UnknownPart
from gendkit.model.backbone import build_backbone
from gendkit.model.head import Head
from gendkit.model.tuning import norm_parameters, norm_types, tune_layer_norms
from gendkit.plugin.manager import plugins
from gendkit.testing.small import registered, small_crops

NAMES = ("clip-vitl14", "pe-core-l14", "dinov3-vitl16")
PRESETS = {"clip-vitl14": "gend-clip", "pe-core-l14": "gend-pe", "dinov3-vitl16": "gend-dinov3"}
TUNED = {"clip-vitl14": 102_400, "pe-core-l14": 104_448, "dinov3-vitl16": 100_352}
BIG = ("timm:vit_tiny_patch16_224", "timm:resnet18")


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifest, Manifest]:
    """Four crops to train on and four to validate on."""
    root = tmp_path_factory.mktemp("crops")
    made = []
    for name, people in (("a", ("ann", "bob")), ("b", ("eve", "fay"))):
        (root / name).mkdir()
        made.append(small_crops(root / name, identities=people, frames=1, seed=ord(name)))
    return made[0], made[1]


@pytest.fixture(scope="module", params=NAMES)
def shallow(request: pytest.FixtureRequest) -> tuple[str, nn.Module]:
    """A name and its architecture, two blocks deep."""
    return request.param, build_backbone(request.param, pretrained=False, depth=2)


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    assert before.keys() == after.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_a_training_step_changes_nothing_but_layer_norms_and_head(
    shallow: tuple[str, nn.Module], sets: tuple[Manifest, Manifest]
) -> None:
    name, module = shallow
    before = {k: v.clone() for k, v in module.state_dict().items()}
    spec = replace(plugins().spec("backbone", name), name="two-blocks", build=lambda **_: module)
    recipe = gk.Recipe.of(
        PRESETS[name],
        backbone="two-blocks",
        losses={"cross-entropy": 1, "uniformity": 0.5, "alignment": 0.5},
        dtype="float32",  # CLIP's step takes half a minute in bfloat16 on a CPU
        batch_size=4,
        epochs=1,
        warmup_epochs=0,
        selection={"data": "b", "metric": "last"},
    )
    with registered(spec):
        run = gk.fit(recipe, *sets, device="cpu")
    # The layers are found once more here, by walking the tree.
    norms = {
        f"{path}.{key}"
        for path, layer in module.named_modules()
        if isinstance(layer, nn.LayerNorm)
        for key in ("weight", "bias")
    }
    assert changed(before, module.state_dict()) == norms
    assert not any(p.requires_grad for k, p in module.named_parameters() if k not in norms)
    head = Head(1024, generator=torch.Generator().manual_seed(recipe.seed))
    assert changed(dict(head.state_dict()), dict(run.adapter.head)) == {"weight", "bias"}


def test_the_pooled_feature_has_the_declared_length(shallow: tuple[str, nn.Module]) -> None:
    name, module = shallow
    spec = plugins().spec("backbone", name)
    with torch.inference_mode():
        features = module(torch.zeros(2, 3, spec.image_size, spec.image_size))
    assert features.shape == (2, spec.dim) == (2, 1024)


@pytest.mark.parametrize("name", NAMES)
def test_at_full_depth_the_paper_s_numbers_are_tuned(name: str) -> None:
    spec = plugins().spec("backbone", name)
    with torch.device("meta"):
        module = build_backbone(spec, pretrained=False)
    tuned = tune_layer_norms(module, norm_types(spec.norm_classes))
    assert tuned.numbers == TUNED[name]
    assert sum(p.numel() for p in module.parameters() if p.requires_grad) == TUNED[name]
    assert tuned.total == pytest.approx(303e6, rel=0.05)
    assert tuned.share == pytest.approx(0.00034, abs=0.00001)
    assert sum(p.numel() for p in Head(1024, generator=torch.Generator()).parameters()) == 2_050


def test_clip_gives_the_class_token_after_the_last_norm() -> None:
    module = encoders.clip_vitl14(pretrained=False, depth=1).eval()
    taken: list[Tensor] = []
    module.visual.ln_post.register_forward_hook(lambda *a: taken.append(a[2]))
    with torch.inference_mode():
        features = module(torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0)))
    after = taken[0] if taken[0].ndim == 2 else taken[0][:, 0]
    assert torch.equal(features, after)


def test_clip_uses_the_activation_it_was_trained_with() -> None:
    module = encoders.clip_vitl14(pretrained=False, depth=1)
    kinds = {type(m).__name__ for m in module.modules()}
    assert "QuickGELU" in kinds
    assert "GELU" not in kinds


def test_dinov3_gives_the_class_token_and_not_an_average() -> None:
    module = encoders.dinov3_vitl16(pretrained=False, depth=1).eval()
    pixels = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        features, tokens = module(pixels), module.forward_features(pixels)
    torch.testing.assert_close(features, tokens[:, 0])


def test_pe_core_gives_the_attention_pooled_feature_before_its_projection() -> None:
    module = encoders.pe_core_l14(pretrained=False, depth=1).eval()
    pixels = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        features = module(pixels)
        pooled = module.attn_pool(module.forward_features(pixels))
    torch.testing.assert_close(features, pooled)
    assert isinstance(module.head, nn.Identity)


def test_an_option_that_a_builder_does_not_take_is_refused() -> None:
    with pytest.raises(InvalidSpec, match="takes no 'image_size'"):
        build_backbone("clip-vitl14", pretrained=False, image_size=336)


def test_an_option_that_timm_s_model_does_not_take_is_refused() -> None:
    with pytest.raises(InvalidSpec, match=r"timm's resnet18 cannot be built with {'depth': 2}"):
        build_backbone("timm:resnet18", pretrained=False, depth=2)


@pytest.mark.parametrize("name", BIG)
def test_a_timm_model_says_what_it_is(name: str) -> None:
    spec = plugins().spec("backbone", name)
    module = build_backbone(spec, pretrained=False)
    with torch.inference_mode():
        features = module(torch.zeros(1, 3, spec.image_size, spec.image_size))
    assert spec.name == name
    assert features.shape == (1, spec.dim)
    assert spec.licence
    norms = norm_parameters(module, norm_types(spec.norm_classes))
    assert bool(norms) == name.startswith("timm:vit")


def test_an_encoder_with_rms_norms_only_declares_them() -> None:
    spec = plugins().spec("backbone", "timm:vit_so150m2_patch16_reg1_gap_256")
    with torch.device("meta"):
        module = build_backbone(spec, pretrained=False, depth=1)
    assert norm_parameters(module, norm_types(spec.norm_classes))


def test_an_open_clip_model_gives_the_feature_before_the_projection() -> None:
    spec = plugins().spec("backbone", "open-clip:ViT-B-32-quickgelu/openai")
    module = build_backbone(spec, pretrained=False, depth=1)
    with torch.inference_mode():
        features = module(torch.zeros(1, 3, spec.image_size, spec.image_size))
    assert features.shape == (1, 768) == (1, spec.dim)
    assert spec.mean == pytest.approx(plugins().spec("backbone", "clip-vitl14").mean)
    assert spec.resize == "short-side"
    assert spec.interpolation == "bicubic"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("timm:vit_tiny_patch16_225", "timm has no model 'vit_tiny_patch16_225'"),
        ("open-clip:ViT-B-33/openai", "open_clip has no model 'ViT-B-33'"),
        ("open-clip:ViT-B-32/nobody", "no weights 'nobody' for ViT-B-32; it has"),
        ("open-clip:ViT-B-32", "no weights '' for ViT-B-32; it has"),
    ],
)
def test_an_unknown_member_of_a_family_is_told_so(name: str, words: str) -> None:
    with pytest.raises(UnknownPart, match=words):
        plugins().spec("backbone", name)


@pytest.mark.parametrize("name", ["timm:vit_tiny_patch16_224", "clip-vitl14"])
def test_a_hub_out_of_reach_is_told_in_one_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*args: object, **kwargs: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr(encoders.timm, "create_model", unreachable)
    monkeypatch.setattr("open_clip.create_model", unreachable)
    build = plugins().spec("backbone", "pe-core-l14" if name.startswith("timm") else name).build
    with pytest.raises(MissingAsset, match=r"run once where the hub can be reached") as caught:
        build(pretrained=True)
    assert "\n" not in str(caught.value)


def test_normalisation_of_the_papers_encoders_is_their_own() -> None:
    clip, pe, dinov3 = (plugins().spec("backbone", name) for name in NAMES)
    assert np.allclose(clip.mean, (0.4815, 0.4578, 0.4082), atol=1e-4)
    assert pe.mean == pe.std == (0.5, 0.5, 0.5)
    assert np.allclose(dinov3.mean, (0.485, 0.456, 0.406))
    assert [s.resize for s in (clip, pe, dinov3)] == ["short-side", "squash", "squash"]
    assert [s.interpolation for s in (clip, pe, dinov3)] == ["bicubic", "bilinear", "bilinear"]
    assert all(s.image_size == 224 for s in (clip, pe, dinov3))


def test_listing_the_specs_builds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoders.timm, "create_model", lambda *a, **k: pytest.fail("built"))
    assert {"timm", "open-clip", *NAMES} <= {
        part.spec.name for part in plugins().parts if part.kind == "backbone"
    }

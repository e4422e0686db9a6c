"""Image towers of open_clip: the packed attention is the one it stands for."""

from __future__ import annotations

import open_clip
import pytest
import torch
from torch import Tensor, nn

from gendkit.builtin.encoders import clip_vitl14
from gendkit.model.towers import LeanQuickGelu, OpenClipVisual, PackedAttention, clip_tower
from gendkit.model.tuning import tune_layer_norms

SIZES = {
    "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4,
    "patch_size": 8, "image_size": 32,
}  # fmt: skip


def plain_tower() -> nn.Module:
    """The same tower in open_clip's own modules."""
    return open_clip.transformer.VisionTransformer(
        image_size=32, patch_size=8, width=64, layers=3, heads=4, mlp_ratio=2, output_dim=64,
        act_layer=open_clip.transformer.QuickGELU,
    )  # fmt: skip


def test_features_and_gradients_are_those_of_open_clip_s_own_modules() -> None:
    torch.manual_seed(0)
    plain, ours = plain_tower().eval(), clip_tower(SIZES)
    plain.proj = None
    ours.visual.load_state_dict(plain.state_dict())
    tune_layer_norms(plain)
    tune_layer_norms(ours)
    pixels, weights = torch.randn(5, 3, 32, 32), torch.randn(5, 64)
    features = [plain(pixels), ours(pixels)]
    torch.testing.assert_close(features[0], features[1], rtol=0, atol=1e-5)
    for feature in features:
        (feature * weights).sum().backward()
    found = {n: p.grad for n, p in ours.visual.named_parameters() if p.grad is not None}
    expected = {n: p.grad for n, p in plain.named_parameters() if p.grad is not None}
    assert found.keys() == expected.keys()
    assert len(found) == 2 * (2 + 2 * 3)
    for name, gradient in expected.items():
        assert (found[name] - gradient).norm() < 1e-5 * gradient.norm(), name


def test_every_attention_of_clip_is_packed_and_keeps_its_names() -> None:
    tower = clip_vitl14(pretrained=False, depth=2)
    kinds = [type(m) for m in tower.modules() if isinstance(m, nn.MultiheadAttention)]
    assert kinds == [PackedAttention] * 2
    plain = open_clip.create_model("ViT-L-14-quickgelu", vision_cfg=_shallow()).visual
    plain.proj = None
    assert tower.visual.state_dict().keys() == plain.state_dict().keys()


def _shallow() -> dict[str, object]:
    return {**open_clip.get_model_config("ViT-L-14-quickgelu")["vision_cfg"], "layers": 2}


def test_an_attention_that_is_not_to_itself_is_left_to_torch() -> None:
    torch.manual_seed(0)
    plain = nn.MultiheadAttention(16, 2, batch_first=True).eval()
    packed = PackedAttention.of(plain)
    query, key = torch.randn(2, 3, 16), torch.randn(2, 5, 16)
    expected = plain(query, key, key, need_weights=False)[0]
    torch.testing.assert_close(packed(query, key, key, need_weights=False)[0], expected)
    mask = torch.zeros(3, 3, dtype=torch.bool).fill_diagonal_(True).logical_not()
    expected = plain(query, query, query, need_weights=False, attn_mask=mask)[0]
    found = packed(query, query, query, need_weights=False, attn_mask=mask)[0]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("options", [{"dropout": 0.1}, {"add_bias_kv": True}, {"kdim": 8}])
def test_an_unusual_attention_stays_as_it_is(options: dict[str, object]) -> None:
    holder = nn.Module()
    holder.attn = nn.MultiheadAttention(16, 2, batch_first=True, **options)
    OpenClipVisual(holder)
    assert type(holder.attn) is nn.MultiheadAttention


def test_the_activation_has_the_numbers_of_quick_gelu_and_keeps_its_input_alone() -> None:
    x = torch.linspace(-6, 6, 101, dtype=torch.float64, requires_grad=True)
    ours, theirs = LeanQuickGelu()(x), open_clip.transformer.QuickGELU()(x)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    assert torch.autograd.gradcheck(LeanQuickGelu(), x)
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        LeanQuickGelu()(x)
    assert [t.shape for t in kept] == [x.shape]

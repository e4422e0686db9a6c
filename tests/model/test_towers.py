"""Image towers of open_clip: the packed attention is the one it stands for."""

from __future__ import annotations

import copy

import open_clip
import pytest
import torch
from torch import Tensor, nn

from gendkit.builtin.encoders import clip_vitl14
from gendkit.model.towers import FirstTokenBlock, OpenClipVisual, PackedAttention, clip_tower
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
    packed = copy.deepcopy(plain)
    packed.__class__ = PackedAttention
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


@pytest.mark.parametrize("pool", ["avg", "none"])
def test_a_tower_that_uses_all_tokens_computes_them_all(pool: str) -> None:
    torch.manual_seed(0)
    plain = plain_tower().eval()
    plain.pool_type = pool
    pixels = torch.randn(2, 3, 32, 32)
    expected = plain(pixels)
    torch.testing.assert_close(OpenClipVisual(plain)(pixels), expected, rtol=0, atol=1e-5)
    assert type(plain.transformer.resblocks[-1]) is not FirstTokenBlock


def test_weights_that_are_tuned_too_get_their_gradient() -> None:
    torch.manual_seed(0)
    plain, ours = plain_tower().eval(), clip_tower(SIZES)
    plain.proj = None
    ours.visual.load_state_dict(plain.state_dict())
    pixels, weights = torch.randn(5, 3, 32, 32), torch.randn(5, 64)
    for module in (plain, ours):
        (module(pixels) * weights).sum().backward()
    found = dict(ours.visual.named_parameters())
    for name, parameter in plain.named_parameters():
        assert parameter.grad is not None
        difference = found[name].grad - parameter.grad
        assert difference.norm() <= 1e-5 * parameter.grad.norm(), name


def test_an_attention_that_was_exchanged_is_asked_in_the_last_block() -> None:
    class Nothing(nn.MultiheadAttention):
        def forward(self, query: Tensor, *args: Tensor, **options: object) -> tuple[Tensor, None]:
            return torch.zeros_like(query), None

    torch.manual_seed(0)
    tower = clip_tower(SIZES)
    last = tower.visual.transformer.resblocks[-1]
    x = torch.randn(2, 5, 64)
    last.attn = Nothing(64, 4, batch_first=True)
    expected = x[:, :1] + last.mlp(last.ln_2(x[:, :1]))
    torch.testing.assert_close(last(x), expected)

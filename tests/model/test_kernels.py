"""Kernels of frozen blocks: the numbers of plain operations, with less kept for backward."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from open_clip.transformer import QuickGELU
from torch import Tensor, nn
from torch.nn import functional as F

from gendkit.model import kernels
from gendkit.model.kernels import QUICK_GELU, activation_of, again, attend, attend_first, frozen_mlp

BATCH, TOKENS, WIDTH, HEADS, HIDDEN = 5, 7, 24, 4, 40


def plain_attention(joined: Tensor, heads: int) -> Tensor:
    batch, tokens, _ = joined.shape
    q, k, v = joined.view(batch, tokens, 3, heads, -1).permute(2, 0, 3, 1, 4)
    weights = (q @ k.mT * q.shape[-1] ** -0.5).softmax(dim=-1)
    return (weights @ v).transpose(1, 2).reshape(batch, tokens, -1)


def layers() -> tuple[nn.Linear, nn.Linear]:
    torch.manual_seed(0)
    first, second = nn.Linear(WIDTH, HIDDEN), nn.Linear(HIDDEN, WIDTH)
    return first.requires_grad_(False), second.requires_grad_(False)


def kept(work: Callable[[], Tensor]) -> list[tuple[int, ...]]:
    """Return the shapes of what is kept for the backward pass, parameters left out."""
    found: list[Tensor] = []

    def note(tensor: Tensor) -> Tensor:
        found.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda t: t):
        work()
    return [tuple(t.shape) for t in found if t.numel() and not isinstance(t, nn.Parameter)]


@pytest.fixture(params=["whole", "parts"])
def parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything at once, and an image or a row at a time."""
    if request.param == "parts":
        monkeypatch.setattr(kernels, "ATTENTION_BYTES", 1)
        monkeypatch.setattr(kernels, "HIDDEN_BYTES", 3 * HIDDEN * 8)


@pytest.mark.usefixtures("parts")
def test_attention_has_the_numbers_and_gradients_of_its_formula() -> None:
    torch.manual_seed(0)
    joined = torch.randn(BATCH, TOKENS, 3 * WIDTH, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(BATCH, TOKENS, WIDTH, dtype=torch.float64)
    results = []
    for attention in (attend, plain_attention):
        out = attention(joined, HEADS)
        results.append((out, torch.autograd.grad((out * weights).sum(), joined)[0]))
    for ours, expected in zip(*results, strict=True):
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-12)


def test_attention_in_bfloat16_is_as_near_to_the_exact_gradient_as_torch_s_own() -> None:
    torch.manual_seed(0)
    exact = torch.randn(BATCH, 50, 3 * WIDTH).bfloat16().double().requires_grad_()
    weights = torch.randn(BATCH, 50, WIDTH).bfloat16()
    expected = torch.autograd.grad((plain_attention(exact, HEADS) * weights).sum(), exact)[0]
    errors = []
    for attention in (attend, kernels._attended):
        joined = exact.detach().bfloat16().requires_grad_()
        found = torch.autograd.grad((attention(joined, HEADS) * weights).sum(), joined)[0]
        errors.append(float((found - expected).norm() / expected.norm()))
    assert errors[0] < 1.1 * errors[1] < 0.01


def test_attention_keeps_its_input_alone() -> None:
    joined = torch.randn(BATCH, TOKENS, 3 * WIDTH, requires_grad=True)
    assert kept(lambda: attend(joined, HEADS)) == [joined.shape]


def test_the_first_token_attends_as_it_does_among_all() -> None:
    torch.manual_seed(0)
    x = torch.randn(BATCH, TOKENS, WIDTH, dtype=torch.float64)
    weight = torch.randn(3 * WIDTH, WIDTH, dtype=torch.float64)
    for bias in (torch.randn(3 * WIDTH, dtype=torch.float64), None):
        expected = plain_attention(F.linear(x, weight, bias), HEADS)[:, :1]
        torch.testing.assert_close(attend_first(x, weight, bias, HEADS), expected)


def test_keys_are_turned_where_positions_are_rotary() -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(BATCH, TOKENS, WIDTH), torch.randn(3 * WIDTH, WIDTH)
    out = attend_first(x, weight, None, HEADS, turn=torch.zeros_like)
    values = F.linear(x, weight[2 * WIDTH :])
    torch.testing.assert_close(out, values.mean(dim=1, keepdim=True))  # all keys are alike


@pytest.mark.usefixtures("parts")
@pytest.mark.parametrize("kind", [QuickGELU, nn.GELU])
def test_a_frozen_mlp_has_the_numbers_and_gradients_of_its_layers(kind: type[nn.Module]) -> None:
    first, second = (layer.double() for layer in layers())
    plain = nn.Sequential(first, kind(), second)
    activation = QUICK_GELU if kind is QuickGELU else activation_of(kind())
    x = torch.randn(BATCH, TOKENS, WIDTH, dtype=torch.float64, requires_grad=True)
    out = frozen_mlp(x, first, second, activation)
    assert out is not None
    torch.testing.assert_close(out, plain(x), rtol=0, atol=1e-12)
    weights = torch.randn_like(x)
    found, expected = (torch.autograd.grad((y * weights).sum(), x)[0] for y in (out, plain(x)))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    with torch.no_grad():
        again_ = frozen_mlp(x, first, second, activation)
    assert again_ is not None
    assert torch.equal(again_, out)


def test_a_frozen_mlp_follows_autocast() -> None:
    first, second = layers()
    plain = nn.Sequential(first, nn.GELU(), second)
    x = torch.randn(BATCH, WIDTH, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        out, expected = frozen_mlp(x, first, second, activation_of(nn.GELU())), plain(x)
    assert out is not None
    assert out.dtype == expected.dtype == torch.bfloat16
    torch.testing.assert_close(out, expected, rtol=0.02, atol=0.02)
    (gradient,) = torch.autograd.grad(out.float().sum(), x)
    assert gradient.dtype == torch.float32


def test_a_frozen_mlp_keeps_its_hidden_layer_alone() -> None:
    first, second = layers()
    x = torch.randn(BATCH, TOKENS, WIDTH, requires_grad=True)

    def work() -> Tensor:
        out = frozen_mlp(x, first, second, QUICK_GELU)
        assert out is not None
        return out

    assert kept(work) == [(BATCH * TOKENS, HIDDEN)]


@pytest.mark.parametrize(
    "change",
    [
        lambda first, second: (first.requires_grad_(True), second),
        lambda first, second: (first, nn.Linear(HIDDEN, WIDTH, bias=False).requires_grad_(False)),
        lambda first, second: (nn.Sequential(first), second),
    ],
    ids=["tuned", "without bias", "exchanged"],
)
def test_other_layers_are_left_to_torch(
    change: Callable[[nn.Module, nn.Module], tuple[nn.Module, nn.Module]],
) -> None:
    assert frozen_mlp(torch.randn(2, WIDTH), *change(*layers()), QUICK_GELU) is None


@pytest.mark.parametrize("activation", [nn.GELU(approximate="tanh"), nn.ReLU()])
def test_another_activation_is_left_to_torch(activation: nn.Module) -> None:
    assert activation_of(activation) is None
    assert frozen_mlp(torch.randn(2, WIDTH), *layers(), activation_of(activation)) is None


def test_what_is_run_again_keeps_its_input_alone_and_has_the_same_gradient() -> None:
    torch.manual_seed(0)
    block = nn.Sequential(nn.Linear(WIDTH, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, WIDTH))
    x = torch.randn(BATCH, WIDTH, requires_grad=True)
    assert kept(lambda: again(block, x)) == [x.shape]
    gradients = [torch.autograd.grad(f(x).sum(), x)[0] for f in (block, lambda t: again(block, t))]
    assert torch.equal(*gradients)
    with torch.no_grad():
        assert torch.equal(again(block, x), block(x))

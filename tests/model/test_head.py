"""The head: its logits, its scale, and the dtype in which it computes."""

from __future__ import annotations

import pytest
import torch

from gendkit.model.head import CLASSES, Head

Z = torch.nn.functional.normalize(torch.randn(5, 8, generator=torch.Generator().manual_seed(0)))


def head(seed: int = 0, **options: float) -> Head:
    return Head(8, generator=torch.Generator().manual_seed(seed), **options)


def test_real_comes_before_fake() -> None:
    assert CLASSES == ("real", "fake")


def test_logits_are_linear() -> None:
    own = head()
    torch.testing.assert_close(own(Z), Z @ own.weight.T + own.bias)


def test_weights_come_from_the_generator_and_from_nowhere_else() -> None:
    state = torch.get_rng_state()
    assert torch.equal(head(1).weight, head(1).weight)
    assert not torch.equal(head(1).weight, head(2).weight)
    assert torch.equal(torch.get_rng_state(), state)
    assert head().weight.abs().max() <= 8**-0.5


def test_a_folded_scale_leaves_the_logits_as_they_are() -> None:
    scaled = head(scale=16.0)
    torch.testing.assert_close(Head.of(scaled.folded())(Z), scaled(Z))
    assert Head.of(scaled.folded()).scale == 1


def test_what_is_folded_does_not_follow_training() -> None:
    own = head()
    kept = own.folded()
    with torch.no_grad():
        own.weight.zero_()
    assert kept["weight"].abs().sum() > 0


def test_logits_are_float32_under_autocast() -> None:
    own = head()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = own(Z)
    assert logits.dtype == torch.float32
    assert torch.equal(logits, own(Z))


@pytest.mark.gpu
def test_logits_are_exact_whatever_the_process_says_of_tf32() -> None:
    own, z = Head(512, generator=torch.Generator().manual_seed(0)), torch.randn(64, 512)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        logits = own.cuda()(z.cuda()).cpu()
    finally:
        torch.set_float32_matmul_precision(before)
    torch.testing.assert_close(logits, own.cpu()(z), rtol=0, atol=1e-5)

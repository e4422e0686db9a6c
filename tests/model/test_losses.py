"""Losses against the reference's numbers, a slow rewrite with explicit pairs, and each other."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from gendkit.errors import InvalidEmbeddings, InvalidLabels
from gendkit.model.losses import (
    Alignment,
    CrossEntropy,
    Uniformity,
    alignment,
    normalise,
    shared_gram,
    uniformity,
)
from gendkit.plugin.protocols import LossInputs

CASES = range(5)


@pytest.fixture(scope="module")
def golden(shared: Path) -> Iterator[np.lib.npyio.NpzFile]:
    with np.load(shared / "golden" / "losses.npz") as file:
        yield file


def sphere(n: int, dim: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(n, dim, generator=generator, dtype=torch.float64), dim=1)


def slow_alignment(z: Tensor, labels: Tensor) -> Tensor:
    pairs = [
        (z[i] - z[j]).pow(2).sum()
        for i, j in itertools.combinations(range(len(z)), 2)
        if labels[i] == labels[j]
    ]
    return torch.stack(pairs).mean()


def slow_uniformity(z: Tensor) -> Tensor:
    pairs = [
        (-2 * (z[i] - z[j]).pow(2).sum()).exp() for i, j in itertools.combinations(range(len(z)), 2)
    ]
    return torch.stack(pairs).mean().log()


@pytest.mark.parametrize("case", CASES)
def test_losses_and_their_gradient_are_those_of_the_reference(
    golden: np.lib.npyio.NpzFile, case: int
) -> None:
    def stored(name: str) -> Tensor:
        return torch.from_numpy(golden[f"{case}_{name}"].astype(np.float64))

    x = stored("x").requires_grad_(True)
    labels = torch.from_numpy(golden[f"{case}_labels"])
    z = normalise(x)
    logits = z @ stored("weight").T + stored("bias")
    inputs = LossInputs(logits=logits, embeddings=z, labels=labels)
    entropy, even, near = (loss(inputs) for loss in (CrossEntropy(), Uniformity(), Alignment()))
    total = entropy + 0.5 * even + 0.1 * near
    total.backward()
    found = {
        "embeddings": z,
        "logits": logits,
        "cross_entropy": entropy,
        "uniformity": even,
        "alignment": near,
        "total": total,
        "grad_x": x.grad,
    }
    for name, value in found.items():
        torch.testing.assert_close(value, stored(name), rtol=0, atol=1e-9, msg=name)


@pytest.mark.parametrize("n", [2, 7, 20])
def test_losses_and_their_gradient_are_those_of_explicit_pairs(n: int) -> None:
    labels = torch.arange(n) % 2 if n > 2 else torch.zeros(n, dtype=torch.long)
    for fast, slow in (
        (lambda z: alignment(z, labels), lambda z: slow_alignment(z, labels)),
        (uniformity, slow_uniformity),
    ):
        gradients = []
        for function in (fast, slow):
            x = (3 * sphere(n, 5)).requires_grad_(True)
            value = function(normalise(x))
            gradients.append((value.detach(), *torch.autograd.grad(value, x)))
        torch.testing.assert_close(gradients[0], gradients[1], rtol=0, atol=1e-12)


def test_uniformity_is_lowest_when_points_are_opposite() -> None:
    poles = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    near = F.normalize(torch.tensor([[1.0, 0.0], [1.0, 0.1]]), dim=1)
    assert uniformity(poles) < uniformity(near) < 0
    assert uniformity(poles).item() == pytest.approx(-8.0)  # log exp(-2 * 2**2)


def test_alignment_looks_at_no_pair_of_two_classes() -> None:
    z = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [-1.0, 0.0]])
    assert alignment(z, torch.tensor([0, 0, 1, 1])).item() == 0
    assert alignment(z, torch.tensor([0, 1, 0, 1])).item() == pytest.approx(4.0)


@pytest.mark.parametrize("distance", [0.1, 0.01, 0.001])
def test_metric_terms_under_bfloat16_autocast_agree_with_float64(distance: float) -> None:
    """Points round a pole, whose mean squared distance is known to a few per cent."""
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(64, 256, generator=generator, dtype=torch.float64)
    pole = F.normalize(torch.ones(256, dtype=torch.float64), dim=0)
    features = pole + math.sqrt(distance / (2 * 256)) * noise
    labels = torch.arange(64) % 2
    exact = F.normalize(features, dim=1)
    assert slow_alignment(exact, labels).item() == pytest.approx(distance, rel=0.1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        z = normalise(features.float())
        got = alignment(z, labels), uniformity(z)
        lost = (2 - 2 * (z @ z.T).float()).mean()
    assert z.dtype == got[0].dtype == got[1].dtype == torch.float32
    assert got[0].item() == pytest.approx(slow_alignment(exact, labels).item(), rel=0.01)
    assert got[1].item() == pytest.approx(slow_uniformity(exact).item(), rel=0.01)
    if distance == 0.001:  # what the care is for
        assert abs(lost.item() / distance - 1) > 0.5


def test_gradients_under_bfloat16_autocast_agree_with_float64() -> None:
    labels = torch.arange(16) % 2
    gradients = []
    for dtype in (torch.float64, torch.float32):
        x = (sphere(16, 64, seed=2) + 10).to(dtype).requires_grad_(True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.float32):
            z = normalise(x)
            value = uniformity(z) + alignment(z, labels)
            (gradient,) = torch.autograd.grad(value, x)
        gradients.append(gradient.double())
    scale = gradients[0].abs().max().item()
    torch.testing.assert_close(gradients[1], gradients[0], rtol=0, atol=1e-3 * scale)


@pytest.mark.parametrize(
    ("points", "labels"),
    [
        (sphere(1, 8).float(), [0]),
        (sphere(6, 8).float(), [1] * 6),
        (sphere(2, 8).float(), [0, 1]),
        (sphere(1, 8).float().expand(6, 8), [0, 0, 0, 1, 1, 1]),
        (torch.zeros(4, 8), [0, 0, 1, 1]),
    ],
    ids=["one crop", "one class", "no pair", "identical", "zero features"],
)
def test_degenerate_batches_have_finite_losses_and_gradients(
    points: Tensor, labels: list[int]
) -> None:
    x = points.clone().requires_grad_(True)
    z = normalise(x)
    inputs = LossInputs(logits=z[:, :2], embeddings=z, labels=torch.tensor(labels))
    for loss in (CrossEntropy(), Uniformity(), Alignment()):
        value = loss(inputs)
        (gradient,) = torch.autograd.grad(value, x, retain_graph=True)
        assert value.shape == ()
        assert torch.isfinite(value)
        assert torch.isfinite(gradient).all()


def test_a_batch_of_one_has_no_metric_terms() -> None:
    z = sphere(1, 8)
    assert alignment(z, torch.tensor([1])).item() == 0
    assert uniformity(z).item() == 0


def test_identical_embeddings_have_distance_zero() -> None:
    z = sphere(1, 8).expand(4, 8)
    assert alignment(z, torch.tensor([0, 0, 1, 1])).item() == pytest.approx(0, abs=1e-12)
    assert uniformity(z).item() == pytest.approx(0, abs=1e-12)


def test_terms_that_share_a_gram_matrix_have_the_same_values_and_gradients() -> None:
    labels = torch.arange(10) % 2
    gradients = []
    for share in (True, False):
        x = sphere(10, 6).requires_grad_(True)
        z = normalise(x)
        if share:
            with shared_gram():
                value = alignment(z, labels) + uniformity(z)
        else:
            value = alignment(z, labels) + uniformity(z)
        gradients.append((value.detach(), *torch.autograd.grad(value, x)))
    torch.testing.assert_close(gradients[0], gradients[1], rtol=0, atol=1e-14)


def test_a_shared_gram_matrix_is_that_of_the_embeddings_asked_about() -> None:
    one, other = sphere(5, 4, seed=1), sphere(5, 4, seed=2)
    with shared_gram():
        both = uniformity(one).item(), uniformity(other).item()
    assert both == (uniformity(one).item(), uniformity(other).item())
    assert both[0] != both[1]


def test_lists_and_arrays_are_taken_too() -> None:
    z, labels = sphere(6, 4), [0, 1, 1, 0, 1, 0]
    near, even = alignment(z, torch.tensor(labels)), uniformity(z)
    array = z.numpy()[::-1].copy()[::-1]
    array.setflags(write=False)
    for points in (z, array, z.tolist()):
        assert alignment(points, labels).item() == pytest.approx(near.item(), abs=1e-6)
        assert alignment(points, np.array(labels)).item() == pytest.approx(near.item(), abs=1e-6)
        assert uniformity(points).item() == pytest.approx(even.item(), abs=1e-6)


@pytest.mark.parametrize(
    "points",
    ["abc", [["a", "b"]], [[1.0], [1.0, 2.0]], np.zeros(3), torch.zeros(2, 2, 2), None],
    ids=["text", "texts", "ragged", "flat", "deep", "none"],
)
def test_what_is_no_matrix_of_numbers_is_refused_in_one_line(points: Any) -> None:
    for measure in (uniformity, lambda z: alignment(z, [0, 1])):
        with pytest.raises(InvalidEmbeddings, match=r"^embeddings are .*\(B, D\), got") as error:
            measure(points)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("labels", [["real", "fake"], [[0], [1]], [0, [1]], None, 1])
def test_what_are_no_labels_is_refused_in_one_line(labels: Any) -> None:
    with pytest.raises(InvalidLabels, match="labels") as error:
        alignment(sphere(2, 3), labels)
    assert "\n" not in str(error.value)


@pytest.mark.gpu
def test_metric_terms_are_exact_whatever_the_process_says_of_tf32() -> None:
    z = sphere(64, 512).float()
    labels = torch.arange(64) % 2
    matmul = torch.backends.cuda.matmul
    found = matmul.fp32_precision
    try:
        matmul.fp32_precision = "tf32"
        near, even = alignment(z.cuda(), labels), uniformity(z.cuda())
    finally:
        matmul.fp32_precision = found
    assert near.item() == pytest.approx(alignment(z, labels).item(), abs=1e-5)
    assert even.item() == pytest.approx(uniformity(z).item(), abs=1e-5)


def test_labels_must_be_as_many_as_embeddings() -> None:
    with pytest.raises(InvalidLabels, match="3 labels for 4 embeddings"):
        alignment(sphere(4, 3), torch.tensor([0, 1, 0]))


def test_normalising_gives_unit_length_in_float32() -> None:
    z = normalise(torch.randn(4, 8, generator=torch.Generator().manual_seed(0)).bfloat16())
    assert z.dtype == torch.float32
    torch.testing.assert_close(z.norm(dim=1), torch.ones(4), rtol=0, atol=1e-6)

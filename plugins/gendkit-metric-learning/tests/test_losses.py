"""Each loss against the library called directly, and where a batch has nothing to compare."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from pytorch_metric_learning import losses
from torch import Tensor
from torch.nn.functional import normalize

from gendkit.errors import InvalidOption
from gendkit.plugin import LossInputs, plugins
from gendkit_metric_learning.losses import SHORTER, class_centres, paired_triplets

OURS = "gendkit-metric-learning"
DIRECT: dict[str, Callable[[], Any]] = {
    "supcon": losses.SupConLoss,
    "contrastive": losses.ContrastiveLoss,
    "multi-similarity": losses.MultiSimilarityLoss,
    "circle": losses.CircleLoss,
    "triplet": losses.TripletMarginLoss,
}
MARGINS = {"arcface": losses.ArcFaceLoss, "cosface": losses.CosFaceLoss}
NAMES = (*DIRECT, "paired-triplet", *MARGINS)
LABELS = (0, 1, 1, 0, 1, 1, 0, 1)
PAIRS = ("a", "a", "a", "b", "b", "", "", "c")


def features(count: int = 8, *, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 6, generator=generator, dtype=dtype).requires_grad_()


def batch(x: Tensor, labels: tuple[int, ...] = LABELS, pair: tuple[str, ...] = PAIRS) -> LossInputs:
    """Return a batch of B crops from features (B, D)."""
    return LossInputs(
        logits=torch.zeros(len(x), 2),
        embeddings=normalize(x, dim=1),
        labels=torch.tensor(labels, dtype=torch.int64),
        pair=pair,
    )


def loss(name: str, **options: Any) -> Any:
    return plugins().spec("loss", name).build(**options)


def test_all_that_is_declared_is_tested_here() -> None:
    ours = {p.name for p in plugins().parts if p.source.distribution == OURS}
    assert ours == set(NAMES)


@pytest.mark.parametrize("name", DIRECT)
def test_a_loss_is_the_library_s_own(name: str) -> None:
    inputs = batch(features())
    expected = DIRECT[name]()(inputs.embeddings, inputs.labels)
    assert expected > 0
    torch.testing.assert_close(loss(name)(inputs), expected)


@pytest.mark.parametrize("name", MARGINS)
def test_a_margin_loss_is_the_library_s_own_with_the_centres_as_weights(name: str) -> None:
    inputs = batch(features())
    own = MARGINS[name](num_classes=2, embedding_size=6)
    own.W.data = class_centres(inputs.embeddings, inputs.labels).T.detach()
    expected = own(inputs.embeddings, inputs.labels)
    torch.testing.assert_close(loss(name)(inputs), expected.detach(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", MARGINS)
def test_with_learned_weights_a_margin_loss_is_the_library_s_own(name: str) -> None:
    inputs = batch(features())
    made = loss(name, weights="learned", dim=6, seed=3)
    (weights,) = made.parameters()
    assert weights.shape == (6, 2)
    assert weights.requires_grad
    own = MARGINS[name](num_classes=2, embedding_size=6)
    own.W.data = weights.detach().clone()
    torch.testing.assert_close(made(inputs), own(inputs.embeddings, inputs.labels))
    made(inputs).backward()
    assert weights.grad is not None
    assert weights.grad.any()


def test_learned_weights_are_drawn_by_their_seed_alone() -> None:
    before = torch.get_rng_state()
    one, same, other = (
        loss("arcface", weights="learned", dim=6, seed=seed).state_dict()["loss.W"]
        for seed in (1, 1, 2)
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("name", MARGINS)
@pytest.mark.parametrize("labels", [(0,), (1, 1, 1), (0, 1)], ids=str)
def test_learned_weights_have_a_finite_gradient_in_any_batch(
    name: str, labels: tuple[int, ...]
) -> None:
    x = features(len(labels))
    value = loss(name, weights="learned", dim=6)(batch(x, labels, ("a",) * len(labels)))
    value.backward()
    assert value.isfinite()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_weights_of_another_word_are_refused() -> None:
    with pytest.raises(InvalidOption, match="weights is 'leaned'; expected centres or learned"):
        loss("arcface", weights="leaned")
    with pytest.raises(InvalidOption, match="need dim"):
        loss("cosface", weights="learned")


def test_arcface_by_hand() -> None:
    degrees = torch.tensor([0.0, 60.0, 180.0, 240.0]).deg2rad()  # centres at 30 and 210
    z = torch.stack([degrees.cos(), degrees.sin()], dim=1)
    inputs = LossInputs(logits=torch.zeros(4, 2), embeddings=z, labels=torch.tensor([0, 0, 1, 1]))
    own, other = torch.tensor([30.0 + 20.0, 150.0]).deg2rad().cos()
    expected = torch.log1p(torch.exp(4 * (other - own)))
    torch.testing.assert_close(
        loss("arcface", margin=20, scale=4)(inputs), expected, rtol=1e-5, atol=1e-5
    )


def test_a_centre_is_the_direction_of_the_class_s_mean() -> None:
    inputs = batch(features())
    z, fake = inputs.embeddings, inputs.labels == 1
    expected = normalize(torch.stack([z[~fake].mean(0), z[fake].mean(0)]), dim=1)
    torch.testing.assert_close(class_centres(z, inputs.labels), SHORTER * expected)


def test_paired_triplets_are_those_of_a_slow_loop() -> None:
    expected = [
        (a, p, n)
        for a in range(8)
        for p in range(8)
        for n in range(8)
        if a != p and LABELS[a] == LABELS[p] != LABELS[n] and PAIRS[a] == PAIRS[n] != ""
    ]
    found = torch.stack(paired_triplets(torch.tensor(LABELS), PAIRS), dim=1)
    assert expected
    assert [tuple(row) for row in found.tolist()] == expected


def test_the_paired_triplet_loss_is_a_mean_over_those_triplets_that_are_too_near() -> None:
    inputs = batch(features())
    distance = torch.cdist(inputs.embeddings, inputs.embeddings)
    a, p, n = paired_triplets(inputs.labels, PAIRS)
    short = (distance[a, p] - distance[a, n] + 0.05).clamp_min(0)
    assert 0 < (short > 0).sum() < len(short)
    torch.testing.assert_close(loss("paired-triplet")(inputs), short[short > 0].mean())


@pytest.mark.parametrize("pair", [(), ("",) * 8, tuple("abcdefgh")])
def test_without_a_pair_in_the_batch_the_paired_triplet_loss_is_0(pair: tuple[str, ...]) -> None:
    x = features()
    value = loss("paired-triplet")(batch(x, pair=pair))
    value.backward()
    assert value == 0
    assert x.grad is not None
    assert not x.grad.any()


@pytest.mark.parametrize("name", NAMES)
def test_a_gradient_flows_and_is_that_of_the_value(name: str) -> None:
    x = features(dtype=torch.float64)
    made = loss(name)
    detached = {"circle"}  # its published weights count as constants in the backward pass
    made(batch(x)).backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    if name not in detached:
        assert torch.autograd.gradcheck(lambda v: made(batch(v)), x, eps=1e-6, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "labels",
    [(0,), (1,), (0, 0, 0), (1, 1, 1), (0, 1), (0, 1, 1, 1)],
    ids=str,
)
def test_a_batch_of_one_class_or_one_crop_gives_a_finite_number_and_gradient(
    name: str, labels: tuple[int, ...]
) -> None:
    x = features(len(labels))
    value = loss(name)(batch(x, labels, ("a",) * len(labels)))
    assert value.shape == ()
    value.backward()
    assert value.isfinite()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("point", [0.0, 1.0], ids=["without length", "all the same"])
def test_embeddings_that_collapsed_give_a_finite_number_and_gradient(
    name: str, point: float
) -> None:
    x = torch.full((8, 6), point, requires_grad=True)
    value = loss(name)(batch(x))
    value.backward()
    assert value.isfinite()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_autocast_does_not_change_the_number(name: str) -> None:
    inputs = batch(features())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = loss(name)(inputs)
    torch.testing.assert_close(inside, loss(name)(inputs), rtol=0, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_a_loss_leaves_the_process_s_randomness_alone(name: str) -> None:
    before = torch.get_rng_state()
    loss(name)(batch(features()))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", NAMES)
def test_no_loss_has_parameters_unless_it_is_asked_to_learn_them(name: str) -> None:
    modules = [m for m in vars(loss(name)).values() if isinstance(m, torch.nn.Module)]
    assert modules
    assert not [p for m in modules for p in m.parameters() if p.requires_grad]


def test_options_are_the_library_s() -> None:
    inputs = batch(features())
    expected = losses.SupConLoss(temperature=0.5)(inputs.embeddings, inputs.labels)
    torch.testing.assert_close(loss("supcon", temperature=0.5)(inputs), expected)
    with pytest.raises(TypeError, match="temprature"):
        loss("supcon", temprature=0.5)

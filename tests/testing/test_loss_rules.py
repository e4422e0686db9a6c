"""The rules about losses: right ones keep all of them, and for each there is one that fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from gendkit.plugin.manager import Plugins
from gendkit.plugin.protocols import LossInputs
from gendkit.plugin.specs import LossSpec
from gendkit.testing import loss_rules
from gendkit.testing.conformance import checks_of
from gendkit.testing.rules import Outcome

RULES = [rule.__name__ for rule in loss_rules.RULES]
BUILT_IN = ("cross-entropy", "uniformity", "alignment")


def outcome(function: Callable[[LossInputs], Any], rule: str, **facts: Any) -> Outcome:
    """Try one rule on a loss that is registered on the spot."""
    found = Plugins(discover=False)
    found.register(LossSpec(name="tried", summary="a loss", build=lambda: function, **facts))
    (check,) = [c for c in checks_of("tried", among=found) if c.rule.name == rule]
    return check.outcome()


def cross_entropy(inputs: LossInputs) -> Tensor:
    return F.cross_entropy(inputs.logits.float(), inputs.labels)


def separation(inputs: LossInputs) -> Tensor:
    """The similarity of the classes' mean embeddings; not a number where one class is missing."""
    real, fake = (inputs.embeddings[inputs.labels == k].mean(0) for k in (0, 1))
    return real @ fake


def by_rank(inputs: LossInputs) -> Tensor:
    """Weighs crops by their place in the batch."""
    weights = torch.arange(1.0, len(inputs.labels) + 1)
    each = F.cross_entropy(inputs.logits, inputs.labels, reduction="none")
    return (each * weights.to(each.dtype)).mean()


def spread(inputs: LossInputs) -> Tensor:
    """The variance over the batch; of one crop there is none."""
    z = inputs.embeddings
    return ((z - z.mean(0)).square().sum(0) / (len(z) - 1)).sum()


def repelling(inputs: LossInputs) -> Tensor:
    """The inverse of the distance, whose gradient is infinite where two embeddings are the same."""
    z = inputs.embeddings
    return (1 / (z[:, None] - z[None, :]).norm(dim=-1).add(torch.eye(len(z)))).mean()


def paired(inputs: LossInputs) -> Tensor:
    """Distances within pairs, of which there are none where pairs are not known."""
    z, same = (
        inputs.embeddings,
        [
            (a, b)
            for a, p in enumerate(inputs.pair)
            for b, q in enumerate(inputs.pair)
            if a < b and p and p == q
        ],
    )
    distances = [(z[a] - z[b]).square().sum() for a, b in same]
    return torch.stack(distances).mean()  # raises for an empty list


def narrow(inputs: LossInputs) -> Tensor:
    """Squared distances by a product, which autocast computes in bfloat16."""
    z = inputs.embeddings
    gram = z @ z.T
    return (2 - 2 * gram).mean()


def sampled(inputs: LossInputs) -> Tensor:
    """Of some embeddings, drawn by the process's own random state."""
    chosen = torch.randperm(len(inputs.labels))[: max(1, len(inputs.labels) // 2)]
    return inputs.embeddings[chosen].square()[:, 0].mean() + inputs.logits.mean()


class Remembering:
    """Moves a centre at each call, by an amount that depends on the process."""

    def __init__(self) -> None:
        import random

        self.weight = random.random()

    def __call__(self, inputs: LossInputs) -> Tensor:
        return self.weight * cross_entropy(inputs)


def overwriting(inputs: LossInputs) -> Tensor:
    with torch.no_grad():
        inputs.labels.fill_(0)
    return cross_entropy(inputs)


def masking(inputs: LossInputs) -> Tensor:
    inputs.logits.detach()[:, 0] = 0
    return cross_entropy(inputs)


WRONG: dict[str, list[tuple[Callable[[LossInputs], Any], str]]] = {
    "is_a_finite_number_with_a_gradient": [
        (lambda i: 0.5, "gave a float"),
        (lambda i: F.cross_entropy(i.logits, i.labels, reduction="none"), "gave the shape (12,)"),
        (lambda i: cross_entropy(i) / 0, "is inf"),
        (lambda i: cross_entropy(i).detach(), "has no gradient"),
        (lambda i: cross_entropy(i) * 0, "zero everywhere"),
        (lambda i: (i.embeddings * 0).sum().sqrt(), "gradient is not finite"),
    ],
    "does_not_depend_on_the_order": [(by_rank, "the value in another order differs")],
    "bears_one_class": [(separation, "real crops only: it is nan")],
    "bears_one_sample": [(spread, "one crop: it is nan")],
    "bears_identical_embeddings": [(repelling, "identical embeddings: it is inf")],
    "bears_unknown_pairs_and_people": [(paired, "non-empty")],
    "is_close_to_float64_under_bfloat16": [(narrow, "under autocast differs")],
    "agrees_on_ranks": [(sampled, "another rank differs"), (Remembering, "another rank differs")],
    "leaves_its_inputs": [(overwriting, "changed the labels"), (masking, "changed the logits")],
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_loss_keeps_the_rule(name: str, rule: str):
    (check,) = [c for c in checks_of(name) if c.rule.name == rule]
    found = check.outcome()
    if rule == "is_a_mean_over_crops_if_it_says_so" and name != "cross-entropy":
        assert found.verdict == "left out"
    else:
        assert (found.verdict, found.reason) == ("kept", "")


@pytest.mark.parametrize(
    ("rule", "number"), [(rule, n) for rule, cases in WRONG.items() for n in range(len(cases))]
)
def test_a_wrong_loss_breaks_the_rule(rule: str, number: int):
    function, reason = WRONG[rule][number]
    if isinstance(function, type):
        found = Plugins(discover=False)
        found.register(LossSpec(name="tried", summary="a loss", build=function))
        (check,) = [c for c in checks_of("tried", among=found) if c.rule.name == rule]
        made = check.outcome()
    else:
        made = outcome(function, rule)
    assert made.verdict == "broken"
    assert reason in made.reason, made.reason


@pytest.mark.parametrize(
    ("separable", "function", "verdict"),
    [
        (False, separation, "left out"),
        (True, cross_entropy, "kept"),
        (True, lambda i: F.cross_entropy(i.logits, i.labels, reduction="sum"), "broken"),
        (True, lambda i: (i.embeddings @ i.embeddings.T).mean(), "broken"),
    ],
)
def test_a_loss_that_says_it_is_separable_must_be(separable, function, verdict):
    made = outcome(function, "is_a_mean_over_crops_if_it_says_so", separable=separable)
    assert made.verdict == verdict, made.reason


class Narrowing(torch.nn.Module):
    """Has weights, and computes in float32 whatever it is given, as training on the sphere does."""

    def __init__(self, *, dim: int, seed: int) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(seed)
        self.centres = torch.nn.Parameter(torch.randn(2, dim, generator=draw))

    def forward(self, inputs: LossInputs) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            return self.value(inputs)

    def value(self, inputs: LossInputs) -> Tensor:
        return F.cross_entropy(inputs.embeddings.float() @ self.centres.T, inputs.labels)


class Rough(Narrowing):
    def forward(self, inputs: LossInputs) -> Tensor:
        return self.value(inputs)


@pytest.mark.parametrize(("build", "verdict"), [(Narrowing, "kept"), (Rough, "broken")])
def test_a_loss_with_weights_may_compute_in_float32_but_not_under_autocast(build, verdict: str):
    found = Plugins(discover=False)
    found.register(LossSpec(name="tried", summary="a loss", build=build))
    made = {c.rule.name: c.outcome() for c in checks_of("tried", among=found)}
    outcome = made.pop("is_close_to_float64_under_bfloat16")
    assert outcome.verdict == verdict, outcome.reason
    assert ("under autocast differs" in outcome.reason) == (verdict == "broken")
    assert [o.rule for o in made.values() if o.verdict == "broken"] == []


def test_there_is_a_wrong_loss_for_every_rule():
    assert {*WRONG, "is_a_mean_over_crops_if_it_says_so"} == set(RULES)


def test_a_near_batch_is_near_and_a_spread_one_is_not():
    near, far = loss_rules.batch(spread=0.02), loss_rules.batch()
    for inputs, low, high in ((near, 0.95, 1.01), (far, -0.9, 0.6)):
        z = inputs.embeddings[inputs.labels == 0]
        similar = (z @ z.T)[~torch.eye(len(z), dtype=torch.bool)]
        assert low < float(similar.mean()) < high
        torch.testing.assert_close(inputs.embeddings.norm(dim=1), torch.ones(12))


WEIGHED_BY_A_HASH = """
from gendkit.plugin import LossSpec, hookimpl

@hookimpl
def gendkit_losses():
    yield LossSpec(name="weighed", summary="people by their hash", build=lambda: weighed)

def weighed(inputs):
    weights = [hash(person) % 2**31 / 2**31 for person in inputs.target_identity]
    return sum(w * z[0] for w, z in zip(weights, inputs.embeddings))
"""


def test_a_loss_that_follows_the_hashes_of_texts_differs_in_another_process(install):
    install("gendkit-tried", WEIGHED_BY_A_HASH, plugin="tried")
    (check,) = [
        c for c in checks_of("weighed", among=Plugins()) if c.rule.name == "agrees_on_ranks"
    ]
    made = check.outcome()
    assert made.verdict == "broken"
    assert "on another rank differs" in made.reason

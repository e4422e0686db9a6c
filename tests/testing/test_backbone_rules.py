"""The rules about backbones: a right one keeps all of them, and each has one that breaks it."""

from __future__ import annotations

import contextlib
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gendkit.errors import InvalidSpec
from gendkit.model.tuning import norm_layers
from gendkit.plugin.manager import Plugins
from gendkit.plugin.specs import BackboneFamily, BackboneSpec, ResolvedBackbone
from gendkit.testing import backbone_rules
from gendkit.testing.conformance import checks_of
from gendkit.testing.rules import Given, Outcome
from gendkit.testing.small import small_backbone

RIGHT = small_backbone("checked")
RULES = [rule.__name__ for rule in backbone_rules.RULES]


def outcome(spec: BackboneSpec, rule: str, **given: Any) -> Outcome:
    """Try one rule on a backbone that is registered on the spot."""
    found = Plugins(discover=False)
    found.register(spec)
    checks = checks_of(spec.name, otherwise=Given(**given), among=found)
    (check,) = [c for c in checks if c.rule.name == rule]
    return check.outcome()


class Wrapped(nn.Module):
    """The right encoder, and what is done to its pixels or features."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.inner(self.before(pixels))
        return self.after(features, pixels)

    def before(self, pixels: Tensor) -> Tensor:
        return pixels

    def after(self, features: Tensor, pixels: Tensor) -> Tensor:
        return features


def built_as(wrap: Callable[[nn.Module], nn.Module], **changes: Any) -> BackboneSpec:
    """The right backbone, whose module is changed after it is built."""

    def build(*, pretrained: bool = True, image_size: int = 32, depth: int = 2) -> Any:
        return wrap(RIGHT.build(pretrained=pretrained, image_size=image_size, depth=depth))

    return replace(RIGHT, build=build, **changes)


def after(function: Callable[[Tensor, Tensor], Tensor]) -> BackboneSpec:
    """The right backbone with a function of its features and pixels."""

    class Changed(Wrapped):
        def after(self, features: Tensor, pixels: Tensor) -> Tensor:
            return function(features, pixels)

    return built_as(Changed)


class Noisy(Wrapped):
    def after(self, features: Tensor, pixels: Tensor) -> Tensor:
        return features + 1e-6 * torch.randn_like(features)


class Tracked(Wrapped):
    """Keeps the mean of what it saw, as a batch norm does, even in evaluation mode."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__(inner)
        self.register_buffer("seen", torch.zeros(()))

    def after(self, features: Tensor, pixels: Tensor) -> Tensor:
        self.seen.add_(pixels.mean().detach())
        return features


class LeftBehind(Wrapped):
    """Holds a tensor that `to` does not move."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__(inner)
        self.offset = torch.zeros(32)

    def after(self, features: Tensor, pixels: Tensor) -> Tensor:
        return features + self.offset


class ManyLeftBehind(Wrapped):
    """Holds tensors in a list and in a dict, and a part with one."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__(nn.Sequential(LeftBehind(inner)))
        self.kept, self.named = [torch.zeros(32)], {"a": torch.zeros(32)}


class Multiplied(LeftBehind):
    def after(self, features: Tensor, pixels: Tensor) -> Tensor:
        return features @ torch.diag(self.offset + 1)


class Float32Only(Wrapped):
    def before(self, pixels: Tensor) -> Tensor:
        return pixels.float()


class Endless(torch.autograd.Function):
    """The identity, whose gradient is infinite."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad / 0.0


class NarrowEndless(Wrapped):
    """Has an infinite gradient, but only where it computes in bfloat16."""

    def after(self, features: Tensor, pixels: Tensor) -> Tensor:
        narrow: Tensor = torch.einsum("bd->bd", features) @ torch.eye(32)
        return Endless.apply(features) if narrow.dtype == torch.bfloat16 else features


def unpicklable(module: nn.Module) -> nn.Module:
    module.register_forward_hook(lambda module, inputs, output: None)
    return module


def asks_the_network(module: nn.Module) -> nn.Module:
    with contextlib.suppress(urllib.error.URLError):  # goes on as if nothing had been asked
        urllib.request.urlopen("http://weights.invalid/model")
    return module


def seeding(module: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return module


def seeded_by_itself(module: nn.Module) -> nn.Module:
    """Weights that no seed of the process determines."""
    own = torch.Generator()
    own.seed()
    with torch.no_grad():
        next(module.parameters()).add_(torch.rand((), generator=own))
    return module


def dropped(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: t for name, t in state.items() if "blocks.0.mlp" not in name}


def emptied(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: t for name, t in state.items() if "norm" in name}


def with_norms(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Puts the sum of the norms among the frozen weights."""
    norms = [t.sum() for name, t in state.items() if "norm" in name]
    frozen = {"of-norms": torch.stack(norms).sum()} if len(state) > len(norms) else {}
    return {**state, **frozen}


def doubled(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {**state, **{f"again.{n}": t for n, t in state.items() if "norm" not in n}}


def wrong_size(*, pretrained: bool = True, image_size: int = 32, depth: int = 2) -> Any:
    return RIGHT.build(pretrained=pretrained, image_size=32, depth=depth)


WRONG: dict[str, list[tuple[BackboneSpec, str]]] = {
    "builds_what_it_declares": [
        (replace(RIGHT, dim=31), "features (3, 32); expected (3, 31)"),
        (after(lambda features, _: features / 0), "not finite"),
        (after(lambda features, _: features.double()), "torch.float64"),
        (after(lambda features, _: (features,)), "it gave a tuple; expected a tensor"),
        (built_as(lambda _: nn.Sequential(nn.Identity())), "features (3, 3, 32, 32)"),
    ],
    "looks_at_its_input": [(after(lambda features, _: features * 0 + 1), "the same feature")],
    "has_the_norms_that_it_declares": [
        (replace(RIGHT, norm_classes=("torch.nn:RMSNorm",)), "RMSNorm does not occur"),
        (
            replace(RIGHT, norm_classes=("torch.nn:RMSNorm",)),
            "its norms are timm.layers.norm:LayerNorm",
        ),
        (replace(RIGHT, norm_classes=("torch.nn:Norm",)), "cannot be imported"),
        (
            built_as(
                lambda m: nn.Sequential(m, nn.BatchNorm1d(32, affine=False)),
                norm_classes=("torch.nn:LayerNorm", "torch.nn:BatchNorm1d"),
            ),
            "have no weights",
        ),
    ],
    "takes_the_sizes_that_it_offers": [
        (replace(RIGHT, build=wrong_size), "Input height (64) doesn't match")
    ],
    "answers_the_same_twice": [(built_as(Noisy), "nothing random may be left")],
    "answers_one_crop_as_in_a_batch": [
        (after(lambda features, _: features - features.mean(0)), "alone differs")
    ],
    "is_tuned_by_its_norms_alone": [
        (built_as(Tracked), "a step also moved seen"),
        (after(lambda features, _: features.detach().requires_grad_()), "moved no layer norm"),
        (
            after(lambda f, pixels: pixels.flatten(1)[:, : f.shape[1]] + f - f.detach()),
            "the tuned norms changed the output by",
        ),
        (after(lambda features, _: features.detach()), "carry no gradient; leave no_grad"),
        (after(lambda features, _: (features,)), "it gave a tuple; expected a tensor"),
    ],
    "has_finite_gradients": [
        (after(lambda features, _: Endless.apply(features)), "is not finite"),
        (after(lambda features, _: features.detach().requires_grad_()), "gets a gradient"),
        (after(lambda features, _: features.detach()), "carry no gradient; leave no_grad"),
    ],
    "has_finite_gradients_under_bfloat16": [(built_as(NarrowEndless), "is not finite")],
    "computes_in_other_dtypes": [
        (built_as(Float32Only), "moved to torch.float64 it does not run"),
        (built_as(Multiplied), "does not run: offset is a tensor"),
    ],
    "runs_on_another_device": [
        (built_as(LeftBehind), "offset is a tensor that `to` does not move"),
        (built_as(ManyLeftBehind), "kept, named, inner.0.offset are tensors"),
        (after(lambda features, _: features + features.cpu()), "does not run on a GPU"),
        (after(lambda features, _: features.cpu()), "came back on the cpu"),
    ],
    "seeds_nothing": [(built_as(seeding), "torch draws the same whatever was seeded before")],
    "needs_no_network_without_weights": [
        (built_as(asks_the_network), "asked the network for weights.invalid")
    ],
    "goes_to_a_worker": [(built_as(unpicklable), "cannot be pickled: ")],
    "is_named_by_its_frozen_weights": [
        (replace(RIGHT, canonical=emptied), "the hash stays when frozen weights change"),
        (replace(RIGHT, canonical=with_norms), "depends on norms"),
        (built_as(seeded_by_itself), "two builds have different hashes"),
    ],
    "names_every_weight_once": [
        (replace(RIGHT, canonical=dropped), "canonical drops blocks.0.mlp.fc1.weight"),
        (replace(RIGHT, canonical=doubled), "must hold each once"),
    ],
}
DRAWN = "is_named_by_its_frozen_weights"
BY_NAME = {"is_known_by_its_own_name", "has_the_same_hash_in_every_layout"}
"""Rules whose wrong plugin is a family, or needs a second backbone: tests of their own."""


@pytest.mark.parametrize("rule", RULES)
def test_a_right_backbone_keeps_the_rule(rule: str):
    found = outcome(RIGHT, rule)
    if rule == "has_the_same_hash_in_every_layout":
        assert found.verdict == "left out"
    else:
        assert (found.verdict, found.reason) == ("kept", "")


@pytest.mark.parametrize(
    ("rule", "number"), [(rule, n) for rule, cases in WRONG.items() for n in range(len(cases))]
)
def test_a_wrong_backbone_breaks_the_rule(rule: str, number: int):
    spec, reason = WRONG[rule][number]
    found = outcome(spec, rule)
    assert found.verdict == "broken"
    assert reason in found.reason, found.reason


def test_there_is_a_wrong_backbone_for_every_rule():
    assert {*WRONG, *BY_NAME} == set(RULES)


def test_weights_that_are_drawn_where_they_should_be_loaded_break_a_rule():
    """Random weights are what is checked without `pretrained`; with it they are a mistake."""

    def drawn(module: nn.Module) -> nn.Module:
        with torch.no_grad():
            next(module.parameters()).add_(torch.rand(()))
        return module

    assert outcome(built_as(drawn), DRAWN).verdict == "kept"
    assert outcome(RIGHT, DRAWN, pretrained=True).verdict == "kept"
    found = outcome(built_as(drawn), DRAWN, pretrained=True)
    assert "two builds have different hashes; weights that are loaded are the same" in found.reason


def family(gives: str) -> BackboneFamily:
    def resolve(key: str) -> ResolvedBackbone:
        facts = {**vars(RIGHT), "name": gives.format(key=key)}
        return ResolvedBackbone(**facts)

    return BackboneFamily(
        name="lib", pattern="lib:NAME", summary="of a library", licence="MIT", resolve=resolve
    )


@pytest.mark.parametrize(("gives", "verdict"), [("lib:{key}", "kept"), ("lib:other", "broken")])
def test_a_member_that_is_given_under_another_name_breaks_the_rule(gives: str, verdict: str):
    found = Plugins(discover=False)
    found.register(family(gives))
    (check,) = [
        c for c in checks_of("lib:first", among=found) if c.rule.name == "is_known_by_its_own_name"
    ]
    assert check.part == "lib:first"
    assert check.outcome().verdict == verdict


def test_a_family_without_a_member_is_left_out_with_what_to_write():
    found = Plugins(discover=False)
    found.register(family("lib:{key}"))
    checks = [c for c in checks_of("lib", among=found) if c.rule.kind == "backbone"]
    made = [check.outcome() for check in checks]
    assert {(o.part, o.verdict) for o in made} == {("lib:NAME", "left out")}
    said = [o.reason for o in made if o.rule != "has_the_same_hash_in_every_layout"]
    assert all("gendkit plugins check lib:NAME" in reason for reason in said)


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"encoder.{name.removeprefix('inner.')}": tensor for name, tensor in state.items()}


def plain(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix("inner."): tensor for name, tensor in state.items()}


@pytest.mark.parametrize(
    ("canonical", "seed", "verdict", "reason"),
    [
        (plain, 0, "kept", ""),
        (renamed, 0, "broken", "the frozen weights have the hash"),
        (plain, 1, "broken", "the frozen weights have the hash"),
    ],
)
def test_another_layout_must_have_the_same_hash(canonical, seed: int, verdict: str, reason: str):
    base = small_backbone("other", seed=seed)
    other = replace(
        base, build=lambda *, pretrained=True: Wrapped(base.build()), canonical=canonical
    )
    found = Plugins(discover=False)
    found.register([RIGHT, other])
    given = Given(same_weights=("other",))
    (check,) = [
        c
        for c in checks_of("checked", given={"checked": given}, among=found)
        if c.part == "checked" and c.rule.name == "has_the_same_hash_in_every_layout"
    ]
    made = check.outcome()
    assert made.verdict == verdict, made.reason
    assert reason in made.reason


def test_the_features_of_another_layout_are_compared_too():
    class Turned(Wrapped):
        def after(self, features: Tensor, pixels: Tensor) -> Tensor:
            return features.flip(1)

    other = replace(
        RIGHT, name="other", build=lambda *, pretrained=True: Turned(RIGHT.build()), canonical=plain
    )
    found = Plugins(discover=False)
    found.register([RIGHT, other])
    given = {"checked": Given(same_weights=("other",))}
    checks = checks_of("checked", given=given, among=found)
    made = next(
        c.outcome()
        for c in checks
        if c.part == "checked" and c.rule.name == "has_the_same_hash_in_every_layout"
    )
    assert "features differ" in made.reason


def test_a_weight_that_nothing_depends_on_may_be_dropped():
    class WithMask(Wrapped):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__(inner)
            self.mask_token = nn.Parameter(torch.zeros(32))

    spec = built_as(
        WithMask, canonical=lambda state: {n: t for n, t in state.items() if n != "mask_token"}
    )
    assert outcome(spec, "names_every_weight_once").reason == ""


def refusing(**sizes: Any) -> BackboneSpec:
    """One whose builder takes sizes, and refuses some, as a family does for some of its members."""

    def build(*, pretrained: bool = True, image_size: int = 32, depth: int = 0) -> Any:
        if image_size in sizes.values() or depth in sizes.values():
            raise InvalidSpec(f"it cannot be built with {sizes}.")
        return RIGHT.build(pretrained=pretrained, depth=depth or 3)

    return replace(RIGHT, build=build)


def test_one_that_refuses_a_depth_is_checked_with_all_its_blocks():
    spec = refusing(depth=2)
    for rule in ("is_tuned_by_its_norms_alone", "is_named_by_its_frozen_weights"):
        assert outcome(spec, rule).reason == ""
    found = Plugins(discover=False)
    found.register(spec)
    assert len(list(norm_layers(checks_of("checked", among=found)[-1].subject().module))) == 7


def test_one_that_refuses_a_size_is_left_out_with_its_own_words():
    made = outcome(refusing(image_size=64), "takes_the_sizes_that_it_offers")
    assert made.verdict == "left out"
    assert "it says that it cannot: it cannot be built with {'image_size': 64}" in made.reason


def test_one_that_refuses_everything_is_broken():
    made = outcome(refusing(one=2, all=0, side=64), "takes_the_sizes_that_it_offers")
    assert made.verdict == "broken"


def test_how_weights_lie_in_memory_does_not_matter():
    spec = built_as(lambda module: module.to(memory_format=torch.channels_last))
    for rule in ("is_named_by_its_frozen_weights", "names_every_weight_once"):
        assert outcome(spec, rule).reason == ""


def test_the_kit_leaves_the_random_state_of_the_process():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    for check in checks_of("checked", among=_with(RIGHT)):
        check.outcome()
    assert torch.equal(torch.rand(3), expected)


def _with(spec: BackboneSpec) -> Plugins:
    found = Plugins(discover=False)
    found.register(spec)
    return found


def test_the_stand_in_has_five_layer_norms():
    assert len(list(norm_layers(RIGHT.build()))) == 5

"""Losses of a recipe: their options, and weights of their own that are trained and kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import gendkit as gk
from gendkit.errors import InvalidOption, PluginError, UnknownPart
from gendkit.plugin.manager import plugins
from gendkit.plugin.protocols import LossInputs
from gendkit.plugin.specs import LossSpec
from gendkit.testing.small import DIM
from gendkit.train.checkpoint import Checkpoint
from gendkit.train.losses import build_losses
from gendkit.train.recipe import LossTerm, Recipe

from .conftest import Fit, Sets, interrupted, trained


class Centres(nn.Module):
    """Mean squared distance to a learned centre a class; counts the batches it was shown."""

    calls: Tensor

    def __init__(self, dim: int, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.centres = nn.Parameter(torch.randn(2, dim, generator=generator))
        self.fixed = nn.Parameter(torch.ones(()), requires_grad=False)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, inputs: LossInputs) -> Tensor:
        self.calls += 1
        away = inputs.embeddings - self.centres[inputs.labels]
        return self.fixed * away.square().mean()


def power(*, exponent: float = 2.0) -> Any:
    if exponent <= 0:
        raise ValueError("exponent must be positive")

    def loss(inputs: LossInputs) -> Tensor:
        return inputs.logits.abs().pow(exponent).mean()

    return loss


@pytest.fixture
def built() -> list[Centres]:
    """The losses of the name `centres` that were built, in order."""
    return []


@pytest.fixture(autouse=True)
def known(small: None, built: list[Centres]) -> None:
    def centres(*, dim: int, seed: int) -> Centres:
        built.append(Centres(dim, seed))
        return built[-1]

    def strange(**options: Any) -> Any:
        raise InvalidOption("strange has its own words")

    specs = [
        LossSpec(name="centres", summary="with weights", build=centres),
        LossSpec(name="power", summary="with an option", build=power),
        LossSpec(name="strange", summary="checks its own options", build=strange),
    ]
    plugins().register(specs, name="losses")


def terms(**losses: Any) -> dict[str, LossTerm]:
    return Recipe(name="r", backbone="small", losses=losses, selection={"data": "d"}).losses


def test_a_loss_is_built_with_the_options_of_the_recipe() -> None:
    logits = torch.full((3, 2), 2.0)
    inputs = LossInputs(logits=logits, embeddings=logits, labels=torch.zeros(3).long())
    plain, cubed = (
        build_losses(terms(power=value), dim=DIM)["power"]
        for value in (0.5, {"weight": 0.25, "exponent": 3.0})
    )
    assert (plain.weight, float(plain(inputs))) == (0.5, 4.0)
    assert (cubed.weight, float(cubed(inputs))) == (0.25, 8.0)


def test_a_run_records_and_repeats_the_options(fit: Fit, tmp_path: Path) -> None:
    losses = {"cross-entropy": 1.0, "power": {"weight": 0.1, "exponent": 3.0}}
    run = fit(losses=losses, out=tmp_path / "run")
    assert run.record["recipe"]["losses"] == losses
    assert gk.load(tmp_path / "run", device="cpu").adapter.header.recipe["losses"] == losses
    row = run.history.iloc[0]
    assert row["loss"] == pytest.approx(row["cross-entropy"] + 0.1 * row["power"], abs=1e-6)
    (file := tmp_path / "again.yaml").write_text(Recipe.of("gend-clip", losses=losses).to_yaml())
    assert Recipe.of(file).losses == terms(**losses)


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        (
            {"power": {"weight": 1, "exponnt": 3}},
            "has no option 'exponnt'; it has exponent",
        ),
        ({"cross-entropy": {"weight": 1, "a": 3}}, "has no option 'a'; it has none"),
        ({"centres": {"weight": 1, "dim": 3}}, "'centres' has no option 'dim'; it has none"),
        ({"centres": {"weight": 1, "seed": 3}}, "'centres' has no option 'seed'; it has none"),
        (
            {"power": {"weight": 1, "exponent": 0}},
            "'power' cannot be built with exponent=0: ValueError: exponent must be",
        ),
        ({"power": {"weight": 1, "exponent": "a"}}, "'power' cannot be built with exponent='a'"),
        ({"strange": {"weight": 1, "a": 1}}, "strange has its own words"),
    ],
)
def test_an_option_that_cannot_be_is_told_before_weights_are_loaded(
    fit: Fit, losses: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gendkit.train.build.build_backbone", None)
    with pytest.raises(InvalidOption, match=words) as caught:
        fit(losses=losses)
    assert "\n" not in str(caught.value)


def test_an_unknown_loss_is_told() -> None:
    with pytest.raises(UnknownPart, match="nothing-such"):
        build_losses(terms(**{"nothing-such": 1.0}), dim=DIM)


def test_weights_of_a_loss_are_trained_with_the_head_and_are_not_in_the_adapter(
    fit: Fit, built: list[Centres]
) -> None:
    changes = {"losses": {"cross-entropy": 1.0, "centres": 1.0}, "seed": 5}
    run = fit(**changes)
    trained, fresh = built[-1], Centres(DIM, 5)
    assert not torch.equal(trained.centres, fresh.centres)
    assert torch.equal(trained.fixed, fresh.fixed)
    names = {*run.adapter.tuned, *run.adapter.head}
    assert not [n for n in names if "centres" in n]
    fit(**changes, head_learning_rate=1e-9, min_learning_rate=0)
    assert (built[-1].centres - fresh.centres).abs().max() < 1e-6


def test_a_loss_with_weights_is_resumed_to_the_bit(
    fit: Fit, built: list[Centres], recipe: Recipe, sets: Sets, tmp_path: Path
) -> None:
    losses = {"cross-entropy": 1.0, "centres": 1.0}
    changed, out = Recipe.of(recipe, losses=losses), tmp_path / "run"
    kept = Checkpoint.read(interrupted(changed, sets, out, after=6, checkpoint_every=5)).state
    assert {n for n in kept if n.startswith("losses/")} == {
        "losses/centres/centres", "losses/centres/fixed", "losses/centres/calls"
    }  # fmt: skip
    resumed = trained(changed, sets, out=out, resume=True)
    one = built[-1]
    whole = fit(losses=losses)
    other = built[-1]
    assert resumed.adapter.hash == whole.adapter.hash
    assert one is not other
    assert all(torch.equal(t, other.state_dict()[n]) for n, t in one.state_dict().items())
    assert float(one.calls) == 8


def test_a_builder_that_fails_without_options_is_not_blamed_on_the_recipe() -> None:
    def build() -> Any:
        raise RuntimeError("broken")

    plugins().register([LossSpec(name="bad", summary="fails", build=build)], name="bad")
    with pytest.raises(PluginError, match="bad"):
        build_losses(terms(bad=1.0), dim=DIM)


def test_losses_and_head_see_neither_autocast_nor_tf32_even_in_the_backward_pass(
    fit: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside: list[str] = []
    now: list[str] = []

    @contextmanager
    def watched(device: Any) -> Iterator[None]:
        now.append(str(device))
        yield
        now.pop()

    class Looks(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            inside.append(f"forward {len(now)}")
            return x.sum() * 0

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> None:
            inside.append(f"backward {len(now)}")

    def loss(inputs: LossInputs) -> Tensor:
        result: Tensor = Looks.apply(inputs.logits)
        return result

    monkeypatch.setattr("gendkit.train.trainer.exact", watched)
    plugins().register([LossSpec(name="looks", summary="looks", build=lambda: loss)], name="looks")
    fit(losses={"cross-entropy": 1.0, "looks": 1.0}, epochs=1)
    assert set(inside) == {"forward 1", "backward 1"}

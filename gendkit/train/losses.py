"""Losses by plugin name: built with the options of a recipe, and told what they ask for."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from gendkit.errors import GendkitError, InvalidOption, InvalidRecipe, PluginError
from gendkit.markup import visible, words_of
from gendkit.plugin.building import build
from gendkit.plugin.manager import plugins
from gendkit.plugin.protocols import Loss, LossInputs
from gendkit.plugin.specs import LossSpec
from gendkit.train.recipe import LossTerm

ASKED = ("dim", "seed")
"""What a builder is told if it has a parameter of that name; no options of a recipe."""


@dataclass(frozen=True, kw_only=True)
class Weighted:
    """A loss, its factor in the sum, and whether it is a mean over crops; see `LossSpec`."""

    weight: float
    loss: Loss
    separable: bool = False

    def __call__(self, inputs: LossInputs) -> Tensor:
        """Return the loss before weighting."""
        return self.loss(inputs)


def build_losses(terms: Mapping[str, LossTerm], *, dim: int, seed: int = 0) -> dict[str, Weighted]:
    """Build losses by plugin name.

    Parameters
    ----------
    terms
        Weights and options.
    dim
        Length D of the embeddings, for losses with weights of their own.
    seed
        For such weights.

    Raises
    ------
    InvalidRecipe
        If there is none.
    UnknownPart
        If no plugin gives one.
    InvalidOption
        If a loss has no such option, or cannot be built with its value.
    PluginError, MissingDependency
        If one cannot be built as it is, or without a package that is not installed.
    """
    if not terms:
        raise InvalidRecipe("the recipe names no loss.")
    specs = {name: plugins().spec("loss", name) for name in terms}
    return {
        name: Weighted(
            weight=term.weight,
            loss=build_loss(specs[name], term.options, dim=dim, seed=seed),
            separable=specs[name].separable,
        )
        for name, term in terms.items()
    }


def tensors_of(losses: Mapping[str, Weighted]) -> dict[str, Tensor]:
    """Return parameters and persistent buffers of the losses that have some, by loss and name."""
    return {
        f"{name}/{key}": tensor
        for name, term in losses.items()
        if isinstance(term.loss, nn.Module)
        for key, tensor in term.loss.state_dict(keep_vars=True).items()
    }


def build_loss(
    spec: LossSpec, options: Mapping[str, Any] | None = None, *, dim: int, seed: int = 0
) -> Loss:
    """Build one loss; see `build_losses`.

    Raises
    ------
    InvalidOption
        If it has no such option, or cannot be built with its value.
    PluginError
        If it cannot be built as it is.
    """
    options, told = options or {}, {"dim": dim, "seed": seed}
    taken = inspect.signature(spec.build).parameters
    known = [n for n, p in taken.items() if p.kind is p.KEYWORD_ONLY or p.default is not p.empty]
    known = [name for name in known if name not in ASKED]
    free = any(p.kind is p.VAR_KEYWORD for p in taken.values())
    for name in options:
        if name in ASKED or not (free or name in known):
            there = f"it has {', '.join(known)}" if known else "it has none"
            raise InvalidOption(f"loss {spec.name!r} has no option {name!r}; {there}.")
    asked = {name: value for name, value in told.items() if name in taken}
    try:
        return build(spec, **options, **asked)
    except GendkitError:
        raise
    except Exception as error:  # code of a plugin
        why = visible(words_of(error)).rstrip(".")
        if not options:
            raise PluginError(
                f"loss {spec.name!r} cannot be built: {why}; mend or update its plugin."
            ) from error
        said = ", ".join(f"{name}={value!r}" for name, value in options.items())
        raise InvalidOption(
            f"loss {spec.name!r} cannot be built with {said}: {why}; change these in the recipe."
        ) from error

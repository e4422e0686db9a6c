"""From a recipe to a trainer: the backbone is built, and what is tuned of it freed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from gendkit.device import DTYPES, check_compiler
from gendkit.errors import InvalidRecipe
from gendkit.model.adapter import header_of
from gendkit.model.backbone import build_backbone
from gendkit.model.kinds import LAYER_NORMS
from gendkit.model.lora import add_factors
from gendkit.model.memory import hold_frozen, recompute_blocks
from gendkit.model.tuned import free
from gendkit.model.tuning import Tuned, norm_layers, norm_types, tune_layer_norms
from gendkit.optional import require
from gendkit.plugin.manager import plugins
from gendkit.plugin.specs import BackboneSpec
from gendkit.train.distributed import World
from gendkit.train.losses import build_losses
from gendkit.train.recipe import Recipe
from gendkit.train.trainer import Trainer


def build_trainer(
    recipe: Recipe,
    *,
    device: str,
    world: World | None = None,
    extraction: Mapping[str, Any] | None = None,
    pretrained: bool = True,
    compile: bool = False,
    ended: Callable[[str], None] = lambda part: None,
) -> tuple[Trainer, Tuned]:
    """Build a recipe's backbone, free what is tuned, and make it ready to be trained.

    Parameters
    ----------
    recipe
        What is built, and how it is tuned.
    device
        Where it runs.
    world
        The processes that share each batch.
    extraction
        How the training crops were made, for the adapter.
    pretrained
        Whether the weights are the base's, or random ones of which nothing is learned but time.
    compile
        Let torch compile the encoder.
    ended
        Called when a part of a step has ended.

    Raises
    ------
    UnknownPart, InvalidOption, InvalidRecipe
        If the recipe names what there is not, or more layer norms than there are.
    NothingToTune
        If the backbone has nothing of the kind that is tuned.
    MissingAsset, MissingDependency
        If the weights, or peft, are not to be had.
    InvalidArgument
        If nothing can be compiled for the device.
    """
    if compile:
        check_compiler(device)
    part = plugins().part("backbone", recipe.backbone)
    spec = plugins().spec("backbone", recipe.backbone)
    build_losses(recipe.losses, dim=spec.dim)  # what is unknown is told before weights are loaded
    if recipe.lora is not None:
        require("peft", extra="lora")
    backbone = build_backbone(spec, image_size=recipe.image_size, pretrained=pretrained)
    header = header_of(
        backbone,
        spec,
        spec.preprocessing.at(recipe.image_size or spec.image_size),
        source=f"{part.source.distribution} {part.source.version}".strip(),
        recipe=recipe.model_dump(mode="json"),
        extraction=extraction or {},
        dtype=recipe.dtype,
        normalised=recipe.sphere,
        kind=recipe.tuning,
        alpha=recipe.lora.alpha if recipe.lora else None,
    )
    tuned = tune(backbone, spec, recipe)
    backbone = backbone.to(device)
    if recipe.recompute:
        recompute_blocks(backbone)
    if recipe.dtype == "bfloat16" and recipe.tuning != "full":
        hold_frozen(backbone, spec, DTYPES[recipe.dtype], known=header.backbone_hash)
    if compile:
        backbone.compile()
    return Trainer(recipe, spec, backbone, header, device, world=world, ended=ended), tuned


def tune(backbone: nn.Module, spec: BackboneSpec, recipe: Recipe) -> Tuned:
    """Free what a recipe tunes of a backbone, and freeze the rest.

    Parameters
    ----------
    backbone
        With the base weights; is put in evaluation mode, and gets low-rank factors if the recipe
        tunes these.
    spec
        Of the backbone.
    recipe
        With the kind of tuning.

    Raises
    ------
    NothingToTune
        If there is nothing of that kind.
    InvalidRecipe
        If there are fewer layer norms than the recipe tunes.
    MissingDependency
        If low-rank factors are tuned and peft is not installed.
    """
    if recipe.lora is not None:
        generator = torch.Generator().manual_seed(recipe.seed)
        add_factors(backbone, rank=recipe.lora.rank, alpha=recipe.lora.alpha, generator=generator)
    if recipe.tuning != LAYER_NORMS:
        return free(backbone, spec, recipe.tuning)
    types, last = norm_types(spec.norm_classes), recipe.tuned_norms
    every = tune_layer_norms(backbone, types)
    if last is None:
        return every
    layers = [m for _, m in norm_layers(backbone, types) if list(m.parameters(recurse=False))]
    if last > len(layers):
        raise InvalidRecipe(
            f"tuned_norms is {last}, but {type(backbone).__name__} has {len(layers)} layer norms."
        )
    for layer in layers[: len(layers) - last]:
        layer.requires_grad_(False)
    tuned = {name: p for name, p in backbone.named_parameters() if p.requires_grad}
    return replace(every, names=tuple(tuned), numbers=sum(p.numel() for p in tuned.values()))

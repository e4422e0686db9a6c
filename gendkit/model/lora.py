"""Low-rank factors beside the projections of attention to queries, keys and values, with peft.

Attention is found by type. Its output projection, MLPs and patch embedding stay as they are. Where
the projection is a parameter and no layer (open_clip), peft exchanges it during a pass, so that a
detector is for one thread at a time.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from gendkit.errors import InvalidAdapter, NothingToTune
from gendkit.optional import require

PACKED = "in_proj_weight"
"""The projections of `torch.nn.MultiheadAttention`, which are one parameter and no layer."""
ADAPTER, A, B = "default", "lora_A", "lora_B"


def add_factors(
    backbone: nn.Module, *, rank: int, alpha: float, generator: torch.Generator | None = None
) -> None:
    """Add factors to a backbone in place; its features stay the same, as one of each two is 0.

    Parameters
    ----------
    backbone
        With attention of a known type.
    rank, alpha
        W becomes W + alpha / rank B A, with A (rank, D) and B (E, rank) for W (E, D).
    generator
        For A, uniform within 1 / sqrt(D), as peft has it. Without one they are to be filled.

    Raises
    ------
    NothingToTune
        If there is no attention of a known type, or if there is another besides: the factors
        would then be in a part of the encoder only.
    MissingDependency
        If peft is not installed.

    References
    ----------
    Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, ICLR 2022.
    """
    from timm.models.eva import EvaAttention

    layers, parameters = _targets(backbone)
    unknown = _unknown(backbone)
    if unknown or not (layers or parameters):
        raise NothingToTune(
            f"{type(backbone).__name__} has {' and '.join(unknown) or 'no attention'}, where lora "
            "knows torch's MultiheadAttention, and timm's of ViT, EVA and DINOv3; take tuning "
            "layer-norms, bitfit or full."
        )
    peft = require("peft", extra="lora")
    for module in backbone.modules():
        if isinstance(module, EvaAttention):
            module.qkv_bias_separate = True  # else it would read the layer's weight past peft
    config = peft.LoraConfig(
        r=rank,
        lora_alpha=alpha,
        target_modules="|".join(map(re.escape, layers)) or [],  # an expression of whole names
        target_parameters=parameters or None,
    )
    with torch.random.fork_rng(devices=[]):  # peft draws from the process's own randomness
        peft.inject_adapter_in_model(config, backbone, adapter_name=ADAPTER)
    for name, factor in factors_of(backbone).items():
        if generator is not None and name.endswith(f"{A}.weight"):
            nn.init.kaiming_uniform_(factor, a=math.sqrt(5), generator=generator)


def factors_of(backbone: nn.Module) -> dict[str, Tensor]:
    """Return the factors by the module's own names; none before `add_factors`."""
    return {
        f"{name}.{key}.weight".removeprefix("."): getattr(layer, key)[ADAPTER].weight
        for name, layer in _wrappers(backbone)
        for key in (A, B)
    }


def rank_of(factors: Mapping[str, Tensor]) -> int:
    """Return the rank of factors.

    Raises
    ------
    InvalidAdapter
        If there are none, or their ranks differ.
    """
    ranks = {t.shape[0] for name, t in factors.items() if name.endswith(f"{A}.weight")}
    if len(ranks) != 1:
        raise InvalidAdapter(f"the factors have ranks {sorted(ranks)}; expected one of all.")
    return int(ranks.pop())


def merged(backbone: nn.Module) -> nn.Module:
    """Return a copy with the factors multiplied out and added to the weights, and none beside."""
    whole = copy.deepcopy(backbone)
    for name, layer in list(_wrappers(whole)):
        layer.merge()
        parent, _, key = name.rpartition(".")
        setattr(whole.get_submodule(parent), key, layer.base_layer)
    return whole


def summed(backbone: nn.Module) -> list[Tensor]:
    """Return the frozen weights to which each pass adds the product of factors, in float32."""
    packed = (layer.base_layer for _, layer in _wrappers(backbone))
    return [m.in_proj_weight for m in packed if isinstance(m, nn.MultiheadAttention)]


def _wrappers(backbone: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield the modules that peft put in place of others."""
    for name, module in backbone.named_modules():
        if ADAPTER in (getattr(module, A, None) or ()):
            yield name, module


def _targets(backbone: nn.Module) -> tuple[list[str], list[str]]:
    """Return the names of the layers and of the parameters that get factors."""
    known, layers, parameters = _projections(), [], []
    for name, module in backbone.named_modules():
        before = f"{name}." if name else ""
        if isinstance(module, nn.MultiheadAttention):
            parameters += [before + PACKED] if module.in_proj_weight is not None else []
        for kind, keys in known.items():
            if isinstance(module, kind):
                layers += [before + k for k in keys if isinstance(getattr(module, k), nn.Linear)]
    return layers, parameters


def _unknown(backbone: nn.Module) -> list[str]:
    """Return the types of layers that are called attention, project, and are not known."""
    known: tuple[type[nn.Module], ...] = (nn.MultiheadAttention, *_projections())
    inside = {id(part) for m in backbone.modules() if isinstance(m, known) for part in m.modules()}
    return sorted(
        {
            type(module).__name__
            for module in backbone.modules()
            if type(module).__name__.endswith("Attention")
            and id(module) not in inside
            and any(isinstance(child, nn.Linear) for child in module.children())
        }
    )


def _projections() -> dict[type[nn.Module], tuple[str, ...]]:
    """Return the linear layers that project to queries, keys and values, by kind of attention."""
    from timm.layers import Attention, AttentionPoolLatent, AttentionRope  # timm takes seconds
    from timm.models.eva import EvaAttention

    return {
        Attention: ("qkv",),
        EvaAttention: ("qkv", "q_proj", "k_proj", "v_proj"),
        AttentionRope: ("qkv", "q_proj", "k_proj", "v_proj"),
        AttentionPoolLatent: ("q", "kv"),
    }

"""The tuned tensors of a backbone by kind: found by type, freed, read, and put back strictly."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from gendkit.errors import InvalidAdapter, NothingToTune
from gendkit.model import lora
from gendkit.model.backbone import norms_of, renamed
from gendkit.model.kinds import LAYER_NORMS, Kind
from gendkit.model.tuning import Tuned
from gendkit.plugin.specs import BackboneSpec


def tensors_of(backbone: nn.Module, spec: BackboneSpec, kind: Kind) -> dict[str, Tensor]:
    """Return what a checkpoint of a kind holds of a backbone, by canonical names; no copies.

    Layer norms; bias terms; low-rank factors, once they are there, by the module's own names; or
    all parameters and persistent buffers.

    Raises
    ------
    InvalidSpec
        If the spec's `canonical` does more than rename these.
    """
    if kind == LAYER_NORMS:
        return dict(norms_of(backbone, spec))
    if kind == "lora":
        return dict(lora.factors_of(backbone))
    own = _biases(backbone) if kind == "bitfit" else backbone.state_dict(keep_vars=True)
    return renamed(own, spec)


def free(backbone: nn.Module, spec: BackboneSpec, kind: Kind) -> Tuned:
    """Freeze a backbone except what a kind tunes, and put it in evaluation mode.

    Low-rank factors must be there: see `gendkit.model.lora.add_factors`.

    Raises
    ------
    NothingToTune
        If there is nothing of that kind.
    """
    backbone.eval().requires_grad_(False)
    tensors = tensors_of(backbone, spec, kind)
    parameters = {n: t for n, t in tensors.items() if isinstance(t, nn.Parameter)}
    if not parameters:
        raise NothingToTune(
            f"{type(backbone).__name__} has nothing that {kind} tunes; take another tuning."
        )
    for parameter in parameters.values():
        parameter.requires_grad_(True)
    return Tuned(
        names=tuple(parameters),
        numbers=sum(p.numel() for p in parameters.values()),
        total=sum(p.numel() for p in backbone.parameters()),
    )


def put(
    backbone: nn.Module,
    spec: BackboneSpec,
    kind: Kind,
    tensors: Mapping[str, Tensor],
    *,
    alpha: float | None = None,
) -> None:
    """Put the tensors of a checkpoint into a backbone, strictly.

    Parameters
    ----------
    backbone
        With the base weights, or as it came out of training.
    spec
        Of the backbone.
    kind, tensors, alpha
        Of the checkpoint; `alpha` of low-rank factors, which are added if there are none.

    Raises
    ------
    InvalidAdapter
        If names or shapes are not exactly those of the backbone, whose numbers then stay as they
        are, or low-rank factors have no `alpha`.
    """
    if kind == "lora" and not lora.factors_of(backbone):
        if alpha is None:
            raise InvalidAdapter(f"a lora checkpoint of {spec.name} lacks alpha in its header.")
        lora.add_factors(backbone, rank=lora.rank_of(tensors), alpha=alpha)
    own = tensors_of(backbone, spec, kind)
    missing, extra = sorted(set(own) - set(tensors)), sorted(set(tensors) - set(own))
    wrong = sorted(n for n in set(own) & set(tensors) if own[n].shape != tensors[n].shape)
    if missing or extra or wrong:
        what = "layer norms" if kind == LAYER_NORMS else f"tensors of a {kind} checkpoint"
        raise InvalidAdapter(
            f"{what} do not fit {spec.name}: missing {missing[:3]}, unknown {extra[:3]}, "
            f"of another shape {wrong[:3]}."
        )
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(tensors[name])


def _biases(backbone: nn.Module) -> dict[str, Tensor]:
    """Return all bias terms, those of layer norms too.

    All of torch's layers call theirs `bias`; a few attentions hold others.

    References
    ----------
    Ben Zaken et al., BitFit, ACL 2022.
    """
    from timm.models.beit import Attention as BeitAttention  # timm takes seconds to import
    from timm.models.eva import EvaAttention

    others: dict[type[nn.Module], tuple[str, ...]] = {
        nn.MultiheadAttention: ("in_proj_bias",),
        EvaAttention: ("q_bias", "v_bias"),
        BeitAttention: ("q_bias", "v_bias"),
    }
    found: dict[str, Tensor] = {}
    for name, module in backbone.named_modules():
        more = (keys for kind, keys in others.items() if isinstance(module, kind))
        for key in ("bias", *(k for keys in more for k in keys)):
            bias = getattr(module, key, None)
            if isinstance(bias, nn.Parameter):
                found[f"{name}.{key}" if name else key] = bias
    return found

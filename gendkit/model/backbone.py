"""Backbones: from a name to a module, and from its weights to the hash that names them.

A backbone is a module from normalised pixels (B, 3, H, W) to pooled features (B, D).
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from gendkit.errors import InvalidSpec, WrongBackbone
from gendkit.model.tuning import norm_parameters, norm_types
from gendkit.plugin.building import build
from gendkit.plugin.manager import plugins
from gendkit.plugin.specs import BackboneSpec

HELD = "_gendkit_held"


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A tensor as it was when it was hashed; `alias` keeps its memory from being used again."""

    tensor: Tensor
    alias: Tensor
    version: int

    @classmethod
    def of(cls, tensor: Tensor) -> Seen:
        """Look at it now."""
        return cls(tensor=tensor, alias=tensor.detach(), version=tensor._version)

    def still(self, tensor: Tensor) -> bool:
        """Tell whether it is the same tensor and nothing was written to it through torch."""
        return (
            tensor is self.tensor
            and tensor.data_ptr() == self.alias.data_ptr()
            and tensor.dtype == self.alias.dtype
            and tensor._version == self.version
        )


@dataclass(frozen=True, kw_only=True)
class Held:
    """What is known of a backbone whose frozen weights were rounded to a narrower dtype.

    Attributes
    ----------
    hash
        Of the frozen weights before that; see `frozen_hash`.
    dtype
        In which they are held.
    seen
        They, as they have been since.
    """

    hash: str
    dtype: torch.dtype
    seen: tuple[Seen, ...]


def held(module: nn.Module) -> Held | None:
    """Return how a backbone holds its frozen weights; None if as they were built."""
    return cast(Held | None, getattr(module, HELD, None))


def build_backbone(
    backbone: str | BackboneSpec,
    *,
    pretrained: bool = True,
    image_size: int | None = None,
    depth: int | None = None,
) -> nn.Module:
    """Build a backbone by name, in evaluation mode.

    Parameters
    ----------
    backbone
        A name such as `dinov2-vits14` or `timm:NAME`, or a spec.
    pretrained
        With False the weights are random and nothing is fetched.
    image_size
        Side of the input in pixels; the declared one by default.
    depth
        Number of blocks; all by default. For tests of an architecture.

    Raises
    ------
    UnknownPart
        If no plugin gives that name.
    InvalidSpec
        If an option is given that this backbone's builder does not take.
    MissingAsset, MissingDependency
        If its weights, or packages that it needs, are not to be had.
    """
    spec = plugins().spec("backbone", backbone) if isinstance(backbone, str) else backbone
    options: dict[str, Any] = {"pretrained": pretrained}
    if image_size is not None and image_size != spec.image_size:
        options["image_size"] = image_size
    if depth is not None:
        options["depth"] = depth
    taken = inspect.signature(spec.build).parameters
    if not any(p.kind is p.VAR_KEYWORD for p in taken.values()):
        for name in options:
            if name not in taken:
                what = f"the builder of backbone {spec.name!r} takes no {name!r}"
                raise InvalidSpec(f"{what}{_way_out(spec, name)}.")
    module = cast(nn.Module, build(spec, **options))
    return module.eval()


def _way_out(spec: BackboneSpec, option: str) -> str:
    """Return what to do about an option that a builder does not take."""
    if option == "image_size":
        return (
            f"; it is {spec.image_size} px always: give image_size: null in a recipe, or "
            "--set image_size=null"
        )
    return "; write it as build(*, pretrained=True)" if option == "pretrained" else ""


def canonical_state(module: nn.Module, spec: BackboneSpec) -> dict[str, Tensor]:
    """Return the module's tensors under their canonical names."""
    state: Mapping[str, Tensor] = module.state_dict()
    return dict(spec.canonical(state) if spec.canonical else state)


def frozen_hash(module: nn.Module, spec: BackboneSpec) -> str:
    """Return the sha256 that names a backbone: of all tensors but its layer norms.

    Over the sorted canonical names, each as name, shape and little-endian float32 bytes. Two
    layouts of the same weights have the same hash. Of weights that are held in a narrower dtype it
    is the hash from before.

    Raises
    ------
    WrongBackbone
        If such weights were changed since.
    """
    if (since := held(module)) is not None:
        if not all(seen.still(seen.tensor) for seen in since.seen):
            raise WrongBackbone(
                f"the frozen weights of {spec.name} were rounded to {since.dtype} and then "
                "changed, so that nobody can tell which backbone this is; build it anew."
            )
        return since.hash
    norms = norms_of(module, spec)
    state = canonical_state(module, spec)
    return tensors_hash({name: t for name, t in state.items() if name not in norms})


def norms_hash(module: nn.Module, spec: BackboneSpec) -> str:
    """Return the sha256 of the layer norms, in the same form as `frozen_hash`."""
    return tensors_hash(norms_of(module, spec))


def norms_of(module: nn.Module, spec: BackboneSpec) -> dict[str, nn.Parameter]:
    """Return the layer norms' own parameters under their canonical names, as adapters keep them.

    Raises
    ------
    InvalidSpec
        If `canonical` does not only rename layer norms: an adapter could not be put back then.
    """
    own = norm_parameters(module, norm_types(spec.norm_classes))
    return cast(dict[str, nn.Parameter], renamed(own, spec, what="layer norms"))


def renamed(
    own: Mapping[str, Tensor], spec: BackboneSpec, *, what: str = "these tensors"
) -> dict[str, Tensor]:
    """Return a module's own tensors under their canonical names.

    Raises
    ------
    InvalidSpec
        If `canonical` does not only rename them: they could not be put back then.
    """
    if spec.canonical is None:
        return dict(own)
    canonical = spec.canonical(own)
    if sorted(map(id, canonical.values())) != sorted(map(id, own.values())):
        raise InvalidSpec(
            f"canonical of backbone {spec.name!r} must pass {what} on as they are, renamed "
            "at most; it left some out, or made new tensors of them."
        )
    return dict(canonical)


def tensors_hash(tensors: Mapping[str, Tensor]) -> str:
    """Return the sha256 over names, shapes and little-endian float32 bytes, sorted by name."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        array = np.asarray(tensors[name].detach().cpu().float().numpy(), dtype="<f4")
        digest.update(f"{name}{tuple(array.shape)}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()

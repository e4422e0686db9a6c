"""Arithmetic of adapters: differences, sums, averages, and the way from the base to the tuned.

Adapters of one base enter; an adapter, or a `Difference` of two, leaves. Sums are taken in float64
and an adapter is rounded to float32 once, at the end. The head takes part like the layer norms:
both are numbers in front of which nothing else is tuned. Only `interpolate` leaves it as it is,
because the base has none. What is made says in its recipe how, with the recipes it was made of.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gendkit.errors import InvalidAdapter, InvalidArgument, WrongBackbone
from gendkit.markup import card, grid, visible
from gendkit.model.backbone import tensors_hash
from gendkit.model.kinds import need_layer_norms

if TYPE_CHECKING:
    import pandas as pd

    from gendkit.model.adapter import Adapter, Header

_OWN = {"backbone", "backbone_hash", "norms_hash", "source", "recipe", "gendkit"}
"""What adapters that are averaged need not share, or what is checked by hash."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Difference:
    """How one adapter differs from another of the same base: a vector, which can be scaled.

    Attributes
    ----------
    backbone, backbone_hash, norms_hash, normalised
        What both adapters belong to; see `Header`.
    norms, head
        The numbers of the one less those of the other, float64, by the adapters' names.
    reference
        Layer norms of the other, to which `by_layer` relates; of a sum, those of its first term.
    recipe
        How it was made.
    """

    backbone: str
    backbone_hash: str
    norms_hash: str
    normalised: bool
    norms: Mapping[str, Tensor]
    head: Mapping[str, Tensor]
    reference: Mapping[str, Tensor]
    recipe: Mapping[str, Any]

    def __repr__(self) -> str:
        tensors = f"{len(self.norms)} tensors, L2 norm {self._length:.3g}"
        return f"Difference({visible(self.backbone)}, {tensors})"

    def _repr_html_(self) -> str:
        facts = {"backbone": self.backbone, "L2 norm": f"{self._length:.3g}"}
        head = ["layer", "depth", "weight", "bias"]
        rows = self.by_layer()[head].itertuples(index=False, name=None)
        return card("Difference of adapters", facts, grid(head, rows))

    @property
    def _length(self) -> float:
        return math.sqrt(sum(float(t.square().sum()) for t in self.norms.values()))

    def __mul__(self, factor: float) -> Difference:
        """Scale it.

        Raises
        ------
        InvalidArgument
            If the factor is not finite.
        """
        if not isinstance(factor, int | float):
            return NotImplemented
        _check_finite("factor", factor)
        return replace(
            self,
            norms={name: factor * t for name, t in self.norms.items()},
            head={name: factor * t for name, t in self.head.items()},
            recipe={"scaled_by": float(factor), "of": dict(self.recipe)},
        )

    __rmul__ = __mul__

    def __neg__(self) -> Difference:
        """Turn it around."""
        return -1.0 * self

    def __add__(self, other: Difference) -> Difference:
        """Add another of the same base.

        Raises
        ------
        WrongBackbone, InvalidAdapter
            If the other belongs to other weights, or has other tensors.
        """
        if not isinstance(other, Difference):
            return NotImplemented
        _check_same_base([self, other])
        return replace(
            self,
            norms={name: t + other.norms[name] for name, t in self.norms.items()},
            head={name: t + other.head[name] for name, t in self.head.items()},
            recipe={"sum_of": [dict(self.recipe), dict(other.recipe)]},
        )

    def by_layer(self) -> pd.DataFrame:
        """Return its L2 norm over that of `reference`, by layer.

        Returns
        -------
        DataFrame
            As of `gendkit.model.adapter.movement`: `layer`, `depth`, `weight` and `bias`; NaN where
            the reference is 0.
        """
        from gendkit.model.adapter import movement

        before = {name: t.double() for name, t in self.reference.items()}
        return movement(before, {name: t + self.norms[name] for name, t in before.items()})


def subtract(one: Adapter, other: Adapter) -> Difference:
    """Return the first less the second; see `Adapter.__sub__`."""
    _check_same_base([one, other])
    return Difference(
        backbone=one.header.backbone,
        backbone_hash=one.header.backbone_hash,
        norms_hash=one.header.norms_hash,
        normalised=one.header.normalised,
        norms={name: t.double() - other.norms[name].double() for name, t in one.norms.items()},
        head={name: t.double() - other.head[name].double() for name, t in one.head.items()},
        reference=dict(other.norms),
        recipe={"difference_of": [one.hash, other.hash], "recipes": _recipes([one, other])},
    )


def add(adapter: Adapter, difference: Difference) -> Adapter:
    """Return the adapter moved by a difference; see `Adapter.__add__`."""
    _check_same_base([adapter, difference])
    return _made(
        adapter,
        norms={name: t.double() + difference.norms[name] for name, t in adapter.norms.items()},
        head={name: t.double() + difference.head[name] for name, t in adapter.head.items()},
        recipe={
            "sum_of": [adapter.hash, dict(difference.recipe)],
            "recipes": _recipes([adapter]),
        },
    )


def average(adapters: Sequence[Adapter]) -> Adapter:
    """Return the mean of adapters; see `Adapter.average`."""
    if not adapters:
        raise InvalidArgument("no adapters to average; give one or more.")
    _check_same_base(adapters)
    first = adapters[0]
    for field in sorted(vars(first.header).keys() - _OWN):
        if any(getattr(a.header, field) != getattr(first.header, field) for a in adapters):
            raise InvalidArgument(
                f"the adapters differ in their {field}, so their average would have none; average "
                "adapters that were trained alike, such as seeds of one recipe."
            )
    return _made(
        first,
        norms={
            n: torch.stack([a.norms[n].double() for a in adapters]).mean(0) for n in first.norms
        },
        head={n: torch.stack([a.head[n].double() for a in adapters]).mean(0) for n in first.head},
        recipe={"average_of": [a.hash for a in adapters], "recipes": _recipes(adapters)},
    )


def interpolate(adapter: Adapter, base: Mapping[str, Tensor], t: float) -> Adapter:
    """Return the adapter between base (0) and tuned (1); see `Adapter.interpolate`."""
    _check_finite("t", t)
    check_base(adapter, base)
    return _made(
        adapter,
        norms={
            name: torch.lerp(base[name].detach().cpu().double(), tuned.double(), t)
            for name, tuned in adapter.norms.items()
        },
        head=adapter.head,
        recipe={"interpolated": adapter.hash, "t": float(t), "recipes": _recipes([adapter])},
    )


def claim_base(adapter: Adapter, base: Mapping[str, Tensor]) -> Adapter:
    """Return the adapter with a base for one that has none; see `Adapter.with_base`."""
    need_layer_norms(adapter, "given a base")
    if _knows_base(adapter.header):
        check_base(adapter, base)
        return adapter
    _check_layers(adapter.norms, base, "the base")
    return replace(adapter, header=replace(adapter.header, norms_hash=tensors_hash(base)))


def check_base(adapter: Adapter, base: Mapping[str, Tensor]) -> None:
    """Refuse layer norms that are not those from which the adapter was tuned.

    Raises
    ------
    WrongBackbone
        If they have another hash, or the adapter's base is unknown.
    InvalidAdapter
        If they have other names or shapes.
    """
    need_layer_norms(adapter, "interpolated")
    check_known(adapter)
    _check_layers(adapter.norms, base, "the base")
    found, expected = tensors_hash(base), adapter.header.norms_hash
    if found != expected:
        raise WrongBackbone(
            f"the adapter was tuned from layer norms {expected[:12]} of {adapter.header.backbone}, "
            f"these are {found[:12]}; take them from the backbone before an adapter is applied."
        )


def _check_same_base(parts: Sequence[Adapter | Difference]) -> None:
    """Refuse to mix what does not start from the same frozen weights and layer norms."""
    for part in parts:
        if not isinstance(part, Difference):
            need_layer_norms(part, "added to or subtracted from others")
    marks = [p if isinstance(p, Difference) else p.header for p in parts]
    first = marks[0]
    for part, mark in zip(parts, marks, strict=True):
        if mark.backbone_hash != first.backbone_hash:
            raise WrongBackbone(
                f"{first.backbone} ({first.backbone_hash[:12]}) and {mark.backbone} "
                f"({mark.backbone_hash[:12]}) are different backbones; only adapters of the same "
                "frozen weights can be combined."
            )
        check_known(part)
        if mark.norms_hash != first.norms_hash:
            raise WrongBackbone(
                f"adapters of {mark.backbone} were tuned from different layer norms "
                f"({first.norms_hash[:12]}, {mark.norms_hash[:12]}); only those of the same base "
                "can be combined."
            )
        if mark.normalised != first.normalised:
            raise InvalidArgument(
                f"one head of {mark.backbone} takes unit vectors, the other features as they are; "
                "only heads of one kind can be combined."
            )
        _check_layers(parts[0].norms, part.norms, "the other")
        _check_layers(parts[0].head, part.head, "the other head")


def check_known(part: Adapter | Difference) -> None:
    """Refuse what was imported without the layer norms that it was tuned from.

    Raises
    ------
    WrongBackbone
        Saying how they are named.
    """
    mark = part if isinstance(part, Difference) else part.header
    if not _knows_base(mark):
        raise WrongBackbone(
            f"this adapter of {mark.backbone} was imported without the layer norms it was tuned "
            "from; name them first: adapter.with_base(SharedBackbone.of(...).base_norms)."
        )


def _knows_base(mark: Difference | Header) -> bool:
    from gendkit.model.adapter import UNKNOWN

    return mark.norms_hash != UNKNOWN


def _check_layers(own: Mapping[str, Tensor], other: Mapping[str, Tensor], what: str) -> None:
    missing, extra = sorted(set(own) - set(other)), sorted(set(other) - set(own))
    wrong = sorted(n for n in set(own) & set(other) if own[n].shape != other[n].shape)
    if missing or extra or wrong:
        raise InvalidAdapter(
            f"the tensors of {what} do not fit: missing {missing[:3]}, unknown {extra[:3]}, of "
            f"another shape {wrong[:3]}; expected those of the same backbone."
        )


def _check_finite(name: str, value: float) -> None:
    if not math.isfinite(value):
        raise InvalidArgument(f"{name} is {value}; give a finite number.")


def _recipes(adapters: Sequence[Adapter]) -> dict[str, Any]:
    return {adapter.hash: dict(adapter.header.recipe) for adapter in adapters}


def _made(
    like: Adapter,
    *,
    norms: Mapping[str, Tensor],
    head: Mapping[str, Tensor],
    recipe: Mapping[str, Any],
) -> Adapter:
    """Round to float32 and say how it was made."""
    from gendkit import __version__

    made = replace(
        like,
        header=replace(like.header, recipe=recipe, gendkit=__version__),
        norms={name: t.float() for name, t in norms.items()},
        head={name: t.float() for name, t in head.items()},
    )
    numbers = [*made.norms.values(), *made.head.values()]
    if not all(bool(t.isfinite().all()) for t in numbers):
        raise InvalidArgument("the result is not finite in float32; scale by less.")
    return made

"""Kinds of checkpoint: what is tuned beside the head, and what can be done with the result."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from gendkit.errors import InvalidArgument

if TYPE_CHECKING:
    from gendkit.model.adapter import Adapter

Kind = Literal["layer-norms", "bitfit", "lora", "full"]
LAYER_NORMS: Kind = "layer-norms"
WORDS: MappingProxyType[Kind, str] = MappingProxyType(
    {
        "layer-norms": "the tuned layer norms of the frozen backbone",
        "bitfit": "the tuned bias terms of the frozen backbone",
        "lora": "low-rank factors beside the weights of the frozen backbone",
        "full": "all weights, tuned from those of the backbone",
    }
)
"""What a checkpoint of each kind holds."""


def need_layer_norms(adapter: Adapter, what: str) -> None:
    """Refuse an adapter of another kind.

    Parameters
    ----------
    adapter
        Of any kind.
    what
        Which only layer norms can be, such as `averaged`.

    Raises
    ------
    InvalidArgument
        Naming the kind, and what is possible with it.
    """
    if (kind := adapter.header.kind) != LAYER_NORMS:
        raise InvalidArgument(
            f"a {kind} checkpoint of {adapter.header.backbone} cannot be {what}, only adapters of "
            f"{LAYER_NORMS} can; load it by itself with gk.load, and combine scores instead."
        )

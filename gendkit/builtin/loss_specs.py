"""Declares the built-in losses: those of the method, and one for pairs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gendkit.plugin.specs import LossSpec

_WANG = "Wang and Isola, ICML 2020"


def losses() -> Iterator[LossSpec]:
    """Yield cross-entropy, uniformity, alignment and the ranking of pairs."""
    yield LossSpec(
        name="cross-entropy",
        summary="of the two classes' logits",
        build=_cross_entropy,
        separable=True,
    )
    yield LossSpec(
        name="uniformity",
        summary="log mean exp(-2 d^2) over all pairs of embeddings",
        build=_uniformity,
        reference=_WANG,
    )
    yield LossSpec(
        name="alignment",
        summary="mean d^2 over pairs of embeddings of one class",
        build=_alignment,
        reference=_WANG,
    )
    yield LossSpec(
        name="pair-ranking",
        summary="that a fake scores higher than the real clip it was made from",
        build=_pair_ranking,
        reference="Burges et al., ICML 2005",
    )


def _cross_entropy() -> Any:
    from gendkit.model.losses import CrossEntropy

    return CrossEntropy()


def _uniformity() -> Any:
    from gendkit.model.losses import Uniformity

    return Uniformity()


def _alignment() -> Any:
    from gendkit.model.losses import Alignment

    return Alignment()


def _pair_ranking() -> Any:
    from gendkit.model.losses import PairRanking

    return PairRanking()

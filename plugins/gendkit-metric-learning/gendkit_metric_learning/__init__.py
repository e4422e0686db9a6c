"""Declares the losses; torch and pytorch-metric-learning are imported when one is built."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from gendkit.plugin import LossSpec, hookimpl


@hookimpl
def gendkit_losses() -> Iterator[LossSpec]:
    """Yield the losses on pairs, on triplets and on class centres."""
    yield LossSpec(
        name="supcon",
        summary="supervised contrastive: each crop should find its own class in the batch",
        reference="Khosla et al., NeurIPS 2020",
        build=partial(_on_batch, "SupConLoss"),
    )
    yield LossSpec(
        name="contrastive",
        summary="distance within a class, and what is missing to a distance of 1 between them",
        reference="Hadsell et al., CVPR 2006",
        build=partial(_on_batch, "ContrastiveLoss"),
    )
    yield LossSpec(
        name="multi-similarity",
        summary="within and between classes, with more weight on the pairs that are wrong",
        reference="Wang et al., CVPR 2019",
        build=partial(_on_batch, "MultiSimilarityLoss"),
    )
    yield LossSpec(
        name="circle",
        summary="within and between classes, each similarity at a pace of its own",
        reference="Sun et al., CVPR 2020",
        build=partial(_on_batch, "CircleLoss"),
    )
    yield LossSpec(
        name="triplet",
        summary="a crop is nearer to its own class than to the other, over all triplets",
        reference="Schroff et al., CVPR 2015",
        build=partial(_on_batch, "TripletMarginLoss"),
    )
    yield LossSpec(
        name="paired-triplet",
        summary="triplet, but the other class is only the clip it was made from, or made into",
        reference="Schroff et al., CVPR 2015, on the pairs of gendkit",
        build=_on_pairs,
    )
    yield LossSpec(
        name="arcface",
        summary="additive angular margin, with the batch's class centres for its weights",
        reference="Deng et al., CVPR 2019; centres: Wan et al., ICASSP 2018",
        build=partial(_on_centres, "ArcFaceLoss"),
    )
    yield LossSpec(
        name="cosface",
        summary="additive cosine margin, with the batch's class centres for its weights",
        reference="Wang et al., CVPR 2018; centres: Wan et al., ICASSP 2018",
        build=partial(_on_centres, "CosFaceLoss"),
    )


def _on_batch(kind: str, /, **options: Any) -> Any:
    from gendkit_metric_learning.losses import OnBatch

    return OnBatch(kind, **options)


def _on_pairs(**options: Any) -> Any:
    from gendkit_metric_learning.losses import OnPairs

    return OnPairs(**options)


def _on_centres(kind: str, /, **options: Any) -> Any:
    from gendkit_metric_learning.losses import OnCentres

    return OnCentres(kind, **options)

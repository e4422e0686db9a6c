"""Declares the losses; torch and pytorch-metric-learning are imported when one is built."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gendkit.errors import InvalidOption
from gendkit.plugin import LossSpec, hookimpl


@hookimpl
def gendkit_losses() -> Iterator[LossSpec]:
    """Yield the losses on pairs, on triplets and on class centres."""
    yield LossSpec(
        name="supcon",
        summary="supervised contrastive: each crop should find its own class in the batch",
        reference="Khosla et al., NeurIPS 2020",
        build=_supcon,
    )
    yield LossSpec(
        name="contrastive",
        summary="distance within a class, and what is missing to a distance of 1 between them",
        reference="Hadsell et al., CVPR 2006",
        build=_contrastive,
    )
    yield LossSpec(
        name="multi-similarity",
        summary="within and between classes, with more weight on the pairs that are wrong",
        reference="Wang et al., CVPR 2019",
        build=_multi_similarity,
    )
    yield LossSpec(
        name="circle",
        summary="within and between classes, each similarity at a pace of its own",
        reference="Sun et al., CVPR 2020",
        build=_circle,
    )
    yield LossSpec(
        name="triplet",
        summary="a crop is nearer to its own class than to the other, over all triplets",
        reference="Schroff et al., CVPR 2015",
        build=_triplet,
    )
    yield LossSpec(
        name="paired-triplet",
        summary="triplet, but the other class is only the clip it was made from, or made into",
        reference="Schroff et al., CVPR 2015, on the pairs of gendkit",
        build=_paired_triplet,
    )
    yield LossSpec(
        name="arcface",
        summary="additive angular margin to the batch's class centres, or to learned weights",
        reference="Deng et al., CVPR 2019; centres: Wan et al., ICASSP 2018",
        build=_arcface,
    )
    yield LossSpec(
        name="cosface",
        summary="additive cosine margin to the batch's class centres, or to learned weights",
        reference="Wang et al., CVPR 2018; centres: Wan et al., ICASSP 2018",
        build=_cosface,
    )


# Options are spelt out, with the library's own defaults, so that a recipe is told what there is.


def _supcon(*, temperature: float = 0.1) -> Any:
    return _on_batch("SupConLoss", temperature=temperature)


def _contrastive(*, pos_margin: float = 0.0, neg_margin: float = 1.0) -> Any:
    return _on_batch("ContrastiveLoss", pos_margin=pos_margin, neg_margin=neg_margin)


def _multi_similarity(*, alpha: float = 2.0, beta: float = 50.0, base: float = 0.5) -> Any:
    return _on_batch("MultiSimilarityLoss", alpha=alpha, beta=beta, base=base)


def _circle(*, m: float = 0.4, gamma: float = 80.0) -> Any:
    return _on_batch("CircleLoss", m=m, gamma=gamma)


def _triplet(*, margin: float = 0.05, swap: bool = False, smooth_loss: bool = False) -> Any:
    return _on_batch("TripletMarginLoss", margin=margin, swap=swap, smooth_loss=smooth_loss)


def _paired_triplet(*, margin: float = 0.05, swap: bool = False, smooth_loss: bool = False) -> Any:
    from gendkit_metric_learning.losses import OnPairs

    return OnPairs(margin=margin, swap=swap, smooth_loss=smooth_loss)


def _arcface(
    *,
    margin: float = 28.6,
    scale: float = 64.0,
    weights: str = "centres",
    dim: int | None = None,
    seed: int = 0,
) -> Any:
    return _margin("ArcFaceLoss", weights, dim, seed, margin=margin, scale=scale)


def _cosface(
    *,
    margin: float = 0.35,
    scale: float = 64.0,
    weights: str = "centres",
    dim: int | None = None,
    seed: int = 0,
) -> Any:
    return _margin("CosFaceLoss", weights, dim, seed, margin=margin, scale=scale)


def _on_batch(kind: str, **options: Any) -> Any:
    from gendkit_metric_learning.losses import OnBatch

    return OnBatch(kind, **options)


def _margin(kind: str, weights: str, dim: int | None, seed: int, **options: float) -> Any:
    from gendkit_metric_learning.losses import OnCentres, OnWeights

    if weights == "centres":
        return OnCentres(kind, **options)
    if weights != "learned":
        raise InvalidOption(f"weights is {weights!r}; expected centres or learned.")
    if dim is None:
        raise InvalidOption("learned weights need dim, the length of an embedding.")
    return OnWeights(kind, dim=dim, seed=seed, **options)

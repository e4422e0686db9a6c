"""Where on a face crop a detector's score comes from: crops enter, heat maps leave.

A map shows what this detector uses, which need not be where a picture was changed. Three ways,
which ask different questions and may disagree: see `explain`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from gendkit.data.pixels import normalise_pixels, resize
from gendkit.device import as_input, compute
from gendkit.errors import InvalidArgument, InvalidImage
from gendkit.model.attention import (
    Pooling,
    check_attention,
    patch_grid,
    pooling_of,
    watched,
)
from gendkit.model.batches import check_positive
from gendkit.model.detector import Detector, load
from gendkit.model.shared import Adapted
from gendkit.optional import require
from gendkit.progress import Bars, Progress

if TYPE_CHECKING:
    from gendkit.plugin.protocols import Image

Method = Literal["rollout", "gradient", "occlusion"]
Floats = NDArray[np.float32]
METHODS: tuple[Method, ...] = get_args(Method)
UNITS: MappingProxyType[Method, str] = MappingProxyType(
    {
        "rollout": "share of the attention, 1 over the crop",
        "gradient": "share of what speaks for fake, 1 over the crop",
        "occlusion": "loss of margin (logit fake less real) where it is covered",
    }
)


def explain(
    images: Iterable[Image],
    detector: Detector | str | Path,
    *,
    method: Method | Sequence[Method] = "rollout",
    window: int | None = None,
    stride: int | None = None,
    batch_size: int = 8,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Draw up where on face crops a detector looks, and what speaks for fake there.

    How well that works was tried with a chequered square on drawn faces, which a probe of frozen
    features tells (tests/evaluate/test_explain.py): in the median, of `occlusion` 14 times as much
    lay in the square as its area gives by chance, of `gradient` 3.5 times, and of `rollout`, which
    knows no classes, 1.1 times, which chance gives too.

    Parameters
    ----------
    images
        RGB uint8 crops (H, W, 3) of any sizes.
    detector
        Or its adapter's file or folder.
    method
        One or several of:

        - `rollout`: how much of each patch reaches the feature by the attentions of all blocks,
          the mean of their heads and half of each being the block's own input. It knows no classes:
          it is the same whatever the head says.
        - `gradient`: the same, each weight times the gradient of the margin by it, positive parts
          alone: what speaks for fake.
        - `occlusion`: a grey window is moved over the crop; what the margin loses, averaged over
          the windows that cover a pixel. It needs no attention, and many passes. A window is a
          change of its own, which a detector may take for a fake anywhere: the map is then negative
          at large, and says most where it is not.
    window, stride
        Of occlusion, in pixels of the input; by default a quarter of its side, and half of that.
    batch_size
        Crops, or windows, that are run at once.
    progress
        Told after each crop of each method; by default a progress bar.

    Returns
    -------
    xarray.Dataset
        Over `explanation` (a method) and `crop`, on the S x S pixels that the encoder got (`y` and
        `x`):

        - `heat` (explanation, crop, y, x) float32: for each method in its own unit, the coordinate
          `units`. A map of `rollout` or `gradient` has one number a patch, none of them negative;
          a `gradient` of zeros says that nothing speaks for fake.
        - `image` (crop, y, x, channel) uint8: the crop as the encoder got it, before normalisation;
        - `score` (crop): P(fake); `margin` (crop): logit fake less logit real.

    Raises
    ------
    InvalidArgument
        If a method is unknown, a window or stride impossible, or, but for `occlusion`, the backbone
        has no attention or one that sees only a part of the tokens.
    InvalidImage
        If there is no crop, or one is no RGB uint8 array.
    MissingDependency
        If occlusion is asked for and captum is not installed.

    References
    ----------
    Abnar and Zuidema, Quantifying Attention Flow in Transformers, ACL 2020 (`rollout`); Chefer et
    al., Generic Attention-model Explainability, ICCV 2021 (`gradient`); Zeiler and Fergus,
    Visualizing and Understanding Convolutional Networks, ECCV 2014 (`occlusion`).
    """
    methods = _methods(method)
    check_positive("batch_size", batch_size)
    if not isinstance(detector, Detector):
        detector = load(detector)
    sliding = _Window.of(detector.preprocessing.size, window, stride)
    if "occlusion" in methods:
        require("captum", extra="explain")
    preprocessing = detector.preprocessing
    inputs = [resize(image, preprocessing) for image in images]
    if not inputs:
        raise InvalidImage("there is no crop to explain; give a list of them.")
    stacked = torch.stack(inputs)
    pixels = normalise_pixels(stacked, preprocessing)
    progress, total = progress or Bars(), len(methods) * len(inputs)
    outputs = [detector.forward(part) for part in torch.split(pixels, batch_size)]
    logits = np.concatenate([o.logit for o in outputs])
    heats = []
    for number, name in enumerate(methods):

        def told(done: int, first: int = number * len(inputs)) -> None:
            progress(first + done, total, "explain")

        if name == "occlusion":
            heats.append(_occluded(detector, pixels, sliding, batch_size, told))
        else:
            with _bare(detector) as bare:
                traced = name == "gradient"
                heats.append(_rolled(bare, pixels, batch_size, told, traced=traced))
    return xr.Dataset(
        {
            "heat": (("explanation", "crop", "y", "x"), np.stack(heats)),
            "image": (("crop", "y", "x", "channel"), stacked.permute(0, 2, 3, 1).numpy()),
            "score": ("crop", np.concatenate([o.score for o in outputs])),
            "margin": ("crop", logits[:, 1] - logits[:, 0]),
        },
        coords={
            # Objects, as zarr has no strings of a fixed length.
            "explanation": np.array(methods, object),
            "units": ("explanation", np.array([UNITS[m] for m in methods], object)),
        },
        attrs={"adapter": detector.adapter.hash, "dtype": detector.dtype, **asdict(sliding)},
    )


@dataclass(frozen=True, kw_only=True)
class _Window:
    """The grey square of an occlusion, in pixels of the input."""

    window: int
    stride: int

    @classmethod
    def of(cls, size: int, window: int | None, stride: int | None) -> _Window:
        window = max(1, size // 4) if window is None else window
        stride = max(1, window // 2) if stride is None else stride
        if not 1 <= stride <= window <= size:
            raise InvalidArgument(
                f"a window of {window} px moved by {stride} px is impossible on {size} px; give "
                "1 <= stride <= window <= side of the input."
            )
        return cls(window=window, stride=stride)


def _methods(method: Method | Sequence[Method]) -> tuple[Method, ...]:
    given = (method,) if isinstance(method, str) else tuple(method)
    if not given or (unknown := [m for m in given if m not in METHODS]):
        what = repr(unknown[0]) if given else "nothing"
        raise InvalidArgument(f"the method is {what}; there is {', '.join(METHODS)}.")
    return tuple(dict.fromkeys(given))


def _occluded(
    detector: Detector,
    pixels: Tensor,
    sliding: _Window,
    batch_size: int,
    told: Callable[[int], None],
) -> Floats:
    """Return the loss of margin (crop, y, x) where a grey window lies."""
    from captum.attr import Occlusion

    def margin(pixels: Tensor) -> Tensor:
        logit = detector.forward(pixels).logit
        return torch.from_numpy(logit[:, 1] - logit[:, 0])

    occlusion, heats = Occlusion(margin), []
    for done, crop in enumerate(pixels, start=1):
        # Zero is the mean colour of the encoder's own training pictures, a grey.
        heat = occlusion.attribute(
            crop[None],
            sliding_window_shapes=(len(crop), sliding.window, sliding.window),
            strides=(len(crop), sliding.stride, sliding.stride),
            baselines=0,
            perturbations_per_eval=batch_size,
        )
        heats.append(heat[0, 0].float().cpu().numpy())  # the window covers all channels alike
        told(done)
    return np.stack(heats)


@contextmanager
def _bare(detector: Detector) -> Iterator[Detector]:
    """Give a detector whose adapter stays on, also in a backward pass."""
    backbone = detector.backbone
    if not isinstance(backbone, Adapted):
        yield detector
        return
    with backbone.shared.applied(backbone.adapter) as module:
        yield Detector(
            module, spec=detector.spec, adapter=detector.adapter, device=detector.device,
            dtype=detector.dtype,
        )  # fmt: skip


def _rolled(
    detector: Detector,
    pixels: Tensor,
    batch_size: int,
    told: Callable[[int], None],
    *,
    traced: bool,
) -> Floats:
    """Return the share of each patch (crop, y, x), rolled out over the blocks."""
    size, done, heats = pixels.shape[-1], 0, []
    shape: tuple[int, int] | None = None
    pooling: Pooling = "first"
    for part in torch.split(pixels, batch_size):
        if traced:
            weights, gradients = _traced(detector, part)
        else:
            with torch.no_grad(), watched() as watch:
                detector.tensors(part)
            weights, gradients = watch.weights, []
        check_attention(weights, detector.backbone)
        if shape is None:
            tokens = weights[-1].shape[-1]
            shape = patch_grid(detector.backbone, size=size, tokens=tokens)
            pooling = _pooling(detector, part[:1], weights, shape[1])
        if traced:
            maps = relevance(weights, gradients, pooling=pooling, prefix=shape[1])
        else:
            maps = rollout(weights, pooling=pooling, prefix=shape[1])
        heats.append(_on_pixels(maps[:, shape[1] :], side=shape[0], size=size))
        done += len(part)
        told(done)
    return np.concatenate(heats)


def _traced(detector: Detector, pixels: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Return all attention weights, and the gradients of the margins by them."""
    # The graph begins with the pixels, so that also the first block's weights are in it.
    pixels = as_input(pixels, detector.device).clone().requires_grad_()
    with torch.enable_grad(), watched(traced=True) as watch:
        _, logit = detector.tensors(pixels)
        check_attention(watch.weights, detector.backbone)
        watch.keeps = False
        margin = (logit[:, 1] - logit[:, 0]).sum()
        gradients = torch.autograd.grad(margin, watch.weights, allow_unused=True)
    return [w.detach() for w in watch.weights], [
        torch.zeros_like(w) if g is None else g
        for w, g in zip(watch.weights, gradients, strict=True)
    ]


def _pooling(detector: Detector, pixels: Tensor, weights: Sequence[Tensor], prefix: int) -> Pooling:
    def features() -> Tensor:
        with torch.no_grad(), compute(detector.dtype, detector.device):
            found: Tensor = detector.backbone(as_input(pixels, detector.device))
        return found.float()

    return pooling_of(detector.backbone, features, weights, prefix=prefix)


def rollout(weights: Sequence[Tensor], *, pooling: Pooling, prefix: int) -> Tensor:
    """Multiply the attentions of all blocks, each half its own input; return (B, tokens).

    Parameters
    ----------
    weights
        (B, heads, Q, N) of each block, in order.
    pooling
        How the feature comes of the last.
    prefix
        Tokens before the patches.
    """
    tokens = weights[-1].shape[-1]
    same = torch.eye(tokens, device=weights[0].device)
    rolled = same.expand(len(weights[0]), tokens, tokens)
    for weight in weights:
        mean = weight.float().mean(dim=1)
        if mean.shape[1] == tokens:
            rolled = (mean + same) / 2 @ rolled
        elif pooling == "first":  # the last block computes its first token alone
            rolled = (mean + same[:1]) / 2 @ rolled
        else:
            rolled = mean @ rolled
    return _read(rolled, pooling, prefix)


def relevance(
    weights: Sequence[Tensor], gradients: Sequence[Tensor], *, pooling: Pooling, prefix: int
) -> Tensor:
    """Add up what each block's attention brings for fake, block by block; return (B, tokens).

    Parameters
    ----------
    weights, gradients
        (B, heads, Q, N) of each block, in order, and the gradients of the margin by them.
    pooling, prefix
        As for `rollout`.
    """
    tokens = weights[-1].shape[-1]
    same = torch.eye(tokens, device=weights[0].device)
    rolled = same.expand(len(weights[0]), tokens, tokens)
    for weight, gradient in zip(weights, gradients, strict=True):
        brought = (weight.float() * gradient.float()).clamp(min=0).mean(dim=1)
        if brought.shape[1] == tokens:
            rolled = rolled + brought @ rolled
        elif pooling == "first":
            rolled = rolled[:, :1] + brought @ rolled
        else:
            rolled = brought @ rolled
    if rolled.shape[1] == tokens:
        rolled = rolled - same  # of a token that is pooled itself, all else would drown in it
    return _read(rolled, pooling, prefix)


def _read(rolled: Tensor, pooling: Pooling, prefix: int) -> Tensor:
    """Return the rows of a roll-out (B, Q, N) of which the feature is made, their mean."""
    if pooling == "first":
        return rolled[:, 0]
    return (rolled[:, prefix:] if pooling == "patches" else rolled).mean(dim=1)


def _on_pixels(patches: Tensor, *, side: int, size: int) -> Floats:
    """Lay patches (B, side * side) over S x S pixels so that each map adds up to 1, or to 0."""
    at = np.arange(size) * side // size
    grid = patches.double().cpu().numpy().reshape(-1, side, side)
    maps = grid[:, at[:, None], at[None]]
    total = maps.sum(axis=(1, 2), keepdims=True)
    shares: Floats = (maps / np.where(total > 0, total, 1)).astype(np.float32)
    return shares

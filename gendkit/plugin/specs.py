"""What a plugin declares about a part before anything heavy is imported.

A spec is a frozen value: a name, a line about it, its licence and the facts that others rely on,
with a `build` function that imports what it needs when it is called.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from gendkit.errors import InvalidSpec

if TYPE_CHECKING:
    import torch

    from gendkit.plugin.protocols import Backbone, Dataset, FaceExtractor, Loss

KEBAB = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
"""What parts are named by."""
NORM_CLASS = re.compile(r"\w+(\.\w+)*:\w+(\.\w+)*")
"""How a class is named that is not imported yet."""

Triple = tuple[float, float, float]
Resize = Literal["short-side", "squash"]
Interpolation = Literal["bicubic", "bilinear"]


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """From a face crop to a backbone's input, completely.

    Attributes
    ----------
    size
        Side of the square input in pixels.
    mean, std
        Per RGB channel, of values in 0 to 1.
    resize
        `short-side`: the short side to `size`, then the centre square; `squash`: both sides to
        `size`.
    interpolation
        With antialiasing, on uint8 values.
    """

    size: int
    mean: Triple
    std: Triple
    resize: Resize
    interpolation: Interpolation

    @property
    def digest(self) -> str:
        """sha256 over all fields, as recorded with adapters and embeddings."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def at(self, size: int) -> Preprocessing:
        """Return the same preprocessing for another input size."""
        return replace(self, size=size)


@dataclass(frozen=True, kw_only=True)
class _Spec:
    """What every spec has.

    Attributes
    ----------
    name
        By which users ask for the part; kebab-case.
    summary
        One line about it.
    """

    name: str
    summary: str

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not KEBAB.fullmatch(self.name):
            raise InvalidSpec(
                f"{type(self).__name__} is named {self.name!r}; names are kebab-case, "
                "such as 'my-part'."
            )
        _check_fields(self)


def _check_fields(spec: _Spec) -> None:
    """Refuse texts that would break a listing or a terminal, and builders that are none."""
    for field, text in vars(spec).items():
        must = field in ("summary", "licence", "pattern")
        if must and not isinstance(text, str):
            raise InvalidSpec(
                f"{type(spec).__name__} {spec.name!r}: {field} must be text, got {text!r}."
            )
        if isinstance(text, str) and not (text.isprintable() and (text.strip() or not must)):
            raise InvalidSpec(
                f"{type(spec).__name__} {spec.name!r}: {field} must be one line of printable "
                f"text, got {text!r}."
            )
        if field in ("build", "resolve") and not callable(text):
            raise InvalidSpec(
                f"{type(spec).__name__} {spec.name!r}: {field} must be a function, which is called "
                f"when the part is needed, got a {type(text).__name__}."
            )


@dataclass(frozen=True, kw_only=True)
class BackboneSpec(_Spec):
    """A pretrained encoder.

    Attributes
    ----------
    dim
        Length D of its pooled feature.
    image_size, mean, std, resize, interpolation
        Its preprocessing; see `Preprocessing`.
    licence
        Of the weights.
    build
        `build(*, pretrained=True)` returns the module; it may also take `image_size` and `depth`.
        With `pretrained=False` it needs no network.
    norm_classes
        The classes whose weights and biases are tuned, as `module:Class`; subclasses count.
    canonical
        Maps a state dict of the module to canonical names, so that two layouts of the same weights
        have the same hash; the identity if None.
    """

    dim: int
    image_size: int
    licence: str
    build: Callable[..., Backbone]
    mean: Triple = (0.5, 0.5, 0.5)
    std: Triple = (0.5, 0.5, 0.5)
    resize: Resize = "short-side"
    interpolation: Interpolation = "bicubic"
    norm_classes: tuple[str, ...] = ("torch.nn:LayerNorm",)
    canonical: Callable[[Mapping[str, torch.Tensor]], Mapping[str, torch.Tensor]] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_backbone(self)

    @property
    def preprocessing(self) -> Preprocessing:
        """The preprocessing at the declared image size."""
        return Preprocessing(
            size=self.image_size,
            mean=self.mean,
            std=self.std,
            resize=self.resize,
            interpolation=self.interpolation,
        )


def _check_backbone(spec: BackboneSpec) -> None:
    """Refuse facts of a backbone that cannot be right, before anybody relies on them."""

    def demand(true: bool, field: str, expected: str) -> None:
        if not true:
            got = getattr(spec, field)
            raise InvalidSpec(f"backbone {spec.name!r}: {field} must be {expected}, got {got!r}.")

    for field in ("dim", "image_size"):
        value = getattr(spec, field)
        whole = isinstance(value, Integral) and not isinstance(value, bool)
        demand(whole and value > 0, field, "a whole number, and positive")
    for field in ("mean", "std"):
        value = getattr(spec, field)
        three = isinstance(value, tuple | list) and [isinstance(v, Real) for v in value]
        demand(three == [True] * 3, field, "three numbers, one a channel")
    demand(min(spec.std) > 0, "std", "above 0")
    for field, known in (("resize", Resize), ("interpolation", Interpolation)):
        words = get_args(known)
        demand(getattr(spec, field) in words, field, " or ".join(map(repr, words)))
    given = spec.norm_classes
    named = isinstance(given, tuple | list) and bool(given)
    named = named and all(isinstance(c, str) and NORM_CLASS.fullmatch(c) for c in given)
    demand(named, "norm_classes", "a tuple of 'module:Class', such as ('torch.nn:RMSNorm',)")


@dataclass(frozen=True, kw_only=True)
class BackboneFamily(_Spec):
    """All backbones of another library, asked for as `name:KEY`.

    Attributes
    ----------
    pattern
        How a member is written, such as `timm:NAME`.
    licence
        Of the weights; of several, who says it of each.
    resolve
        From KEY to the member's spec; it may import the library. It raises `UnknownPart` for a key
        that does not exist.
    """

    pattern: str
    licence: str
    resolve: Callable[[str], ResolvedBackbone]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.pattern.startswith(f"{self.name}:"):
            raise InvalidSpec(
                f"backbone family {self.name!r}: pattern must start with '{self.name}:', "
                f"got {self.pattern!r}."
            )


@dataclass(frozen=True, kw_only=True)
class ResolvedBackbone(BackboneSpec):
    """A member of a family; its name is `family:KEY` and is not restricted to kebab-case."""

    def __post_init__(self) -> None:
        if ":" not in self.name:
            raise InvalidSpec(f"a family's member is named FAMILY:KEY, got {self.name!r}.")
        _check_fields(self)
        _check_backbone(self)


@dataclass(frozen=True, kw_only=True)
class FaceExtractorSpec(_Spec):
    """A face detector with five landmarks.

    Attributes
    ----------
    licence
        Of the weights.
    build
        `build(*, threshold=None)` returns a `FaceExtractor`; None means the declared threshold.
    threshold
        The default least confidence.
    thread_safe
        Whether several threads may call one built extractor at once. Otherwise each thread of an
        extraction builds its own.
    detects
        Whether it looks for faces at all. One that does not takes each picture for the face, whole
        and as it is: crops are not aligned, and rows have no landmarks and no confidence. What it
        builds has an attribute `detects`, which is False, too.
    weights
        Returns the path of the file of weights that the user brings, or raises `MissingAsset`; its
        hash is recorded with the crops. None for a part that checks what it fetches.
    """

    licence: str
    build: Callable[..., FaceExtractor]
    threshold: float
    thread_safe: bool = False
    detects: bool = True
    weights: Callable[[], Path] | None = None


@dataclass(frozen=True, kw_only=True)
class LossSpec(_Spec):
    """A training loss.

    Attributes
    ----------
    build
        `build(**options)` returns a `Loss`. Its parameters are the options that a recipe may give;
        one that has `dim` or `seed` is told the length D of the embeddings and the seed of the run.
        The parameters of a `torch.nn.Module` are trained with the head, and are no part of the
        adapter.
    reference
        Where it was published.
    separable
        Whether it is a mean over crops: the loss of a batch is then that of its parts, weighted by
        how many crops they have. Where all losses of a recipe are, micro-batches need not be
        embedded twice.
    """

    build: Callable[..., Loss]
    reference: str = ""
    separable: bool = False


@dataclass(frozen=True, kw_only=True)
class DatasetSpec(_Spec):
    """A collection of clips.

    Attributes
    ----------
    licence
        Of the media.
    build
        `build(root, **options)` returns a `Dataset`; root is a folder, or None for a dataset that
        is generated.
    homepage
        Where access is given.
    """

    licence: str
    build: Callable[..., Dataset]
    homepage: str = ""


Spec = BackboneSpec | BackboneFamily | FaceExtractorSpec | LossSpec | DatasetSpec


def options_of(spec: Spec) -> dict[str, Any]:
    """Return what a spec declares, without its functions, for listings and records."""
    return {k: v for k, v in vars(spec).items() if not callable(v) and v is not None}

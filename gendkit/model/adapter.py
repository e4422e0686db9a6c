"""The checkpoint: an adapter file with the tuned numbers, the head, and what they belong to.

A safetensors file of about 0.1 to 0.4 MB for layer norms. Its metadata is one JSON header that
names the kind, the backbone by hash, the preprocessing, the recipe and the order of the classes.
Nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from gendkit.errors import InvalidAdapter, InvalidArgument, MissingMedia, WrongBackbone
from gendkit.markup import card, visible
from gendkit.model import algebra
from gendkit.model.algebra import Difference
from gendkit.model.backbone import frozen_hash, norms_hash, tensors_hash
from gendkit.model.head import CLASSES
from gendkit.model.kinds import LAYER_NORMS, WORDS, Kind, need_layer_norms
from gendkit.model.tuned import put
from gendkit.output import write_whole
from gendkit.plugin.specs import BackboneSpec, Preprocessing

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 2
READS = (1, 2)
"""Formats; the first had layer norms only, and no kind in its header."""
FILE = "adapter.safetensors"
UNKNOWN = "unknown"
"""The hash of base layer norms that nobody has seen: those of an imported checkpoint."""
TUNED, HEAD = "backbone.", "head."


@dataclass(frozen=True, kw_only=True)
class Header:
    """What an adapter's numbers belong to.

    Attributes
    ----------
    backbone, backbone_hash, norms_hash
        Name, hash of all weights but the layer norms before tuning, and hash of the layer norms
        before tuning. Of the kind `layer-norms`, the first are the frozen ones; of any other, both
        hashes together name the weights that it was tuned from.
    source
        Distribution and version of the plugin that gave the backbone.
    preprocessing
        From crop to input.
    extraction
        How the crops were made: extractor, threshold, scale, size; empty if unknown.
    recipe
        All fields of the recipe.
    dtype
        Compute dtype of the encoder.
    normalised
        Whether the head takes unit vectors, as in the method, or features as they are.
    kind
        What was tuned; see `gendkit.model.kinds`.
    alpha
        Of low-rank factors; None of other kinds. See `gendkit.model.lora.add_factors`.
    classes
        Meaning of the columns of the logits.
    gendkit
        Version that trained it.
    """

    backbone: str
    backbone_hash: str
    norms_hash: str
    source: str
    preprocessing: Preprocessing
    extraction: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    dtype: str = "float32"
    normalised: bool = True
    kind: Kind = LAYER_NORMS
    alpha: float | None = None
    classes: tuple[str, ...] = CLASSES
    gendkit: str = ""

    @property
    def facts(self) -> dict[str, str]:
        """What it says, in short, for people."""
        take = self.preprocessing
        name = self.recipe.get("name")
        return {
            "backbone": f"{self.backbone} ({self.backbone_hash[:12]})",
            "tuned": self.kind,
            "input": f"{take.size} px, {take.resize}, {take.interpolation}",
            "crops": ", ".join(f"{k} {v}" for k, v in self.extraction.items()) or UNKNOWN,
            "recipe": UNKNOWN if name is None else str(name),
            "trained in": self.dtype,
            "head takes": "unit vectors" if self.normalised else "features as they are",
            "made by": f"gendkit {self.gendkit}" if self.gendkit else UNKNOWN,
        }

    def __repr__(self) -> str:
        facts = f"{self.backbone} {self.backbone_hash[:12]}, {self.kind}, {self.dtype}"
        return visible(f"Header({facts})")

    def _repr_html_(self) -> str:
        return card("Header of an adapter", self.facts)


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """Tuned layer norms and head of one backbone, or a checkpoint of another kind.

    Arithmetic and shared backbones are for layer norms; other kinds refuse by name.

    Attributes
    ----------
    header
        What the numbers belong to.
    norms
        Layer-norm tensors by their canonical names, float32; empty of other kinds.
    head
        `weight` (2, D) and `bias` (2,), float32.
    weights
        What other kinds hold, float32; see `gendkit.model.tuned.tensors_of`. Empty of layer norms.
    """

    header: Header
    norms: Mapping[str, Tensor]
    head: Mapping[str, Tensor]
    weights: Mapping[str, Tensor] = field(default_factory=dict)

    def __repr__(self) -> str:
        h = self.header
        return visible(f"Adapter({h.backbone}, {h.kind}, {self._counts}, {self.hash[:12]})")

    def _repr_html_(self) -> str:
        own = {"hash": self.hash[:12], "numbers": self._counts}
        return card("Adapter", {**own, **self.header.facts})

    @property
    def _counts(self) -> str:
        tuned, head = (sum(t.numel() for t in ts.values()) for ts in (self.tuned, self.head))
        return f"{tuned:,} + {head:,} of the head"

    @classmethod
    def holding(
        cls, header: Header, tuned: Mapping[str, Tensor], head: Mapping[str, Tensor]
    ) -> Adapter:
        """Return one with the tuned tensors where those of its kind are."""
        if header.kind == LAYER_NORMS:
            return cls(header=header, norms=tuned, head=head)
        return cls(header=header, norms={}, weights=tuned, head=head)

    @property
    def tuned(self) -> Mapping[str, Tensor]:
        """The tuned tensors of the backbone, of any kind."""
        return self.norms if self.header.kind == LAYER_NORMS else self.weights

    @property
    def hash(self) -> str:
        """sha256 over all tensors; names the adapter in records."""
        return tensors_hash(self._tensors())

    @property
    def scoring(self) -> dict[str, Any]:
        """All that the scores of an image depend on but the compute dtype, as plain values."""
        h = self.header
        return {
            "adapter": self.hash, "backbone": h.backbone_hash, "norms": h.norms_hash,
            "preprocessing": asdict(h.preprocessing), "head": [h.normalised, h.kind, h.alpha],
        }  # fmt: skip

    @classmethod
    def read(cls, path: str | Path) -> Adapter:
        """Read an adapter file, or the one in a folder that `gendkit train` wrote.

        Raises
        ------
        MissingMedia
            If there is no such file.
        InvalidAdapter
            If it is no adapter, of a later format, damaged, or not finite.
        """
        path = Path(path)
        path = path / FILE if path.is_dir() else path
        if not path.is_file():
            raise MissingMedia(f"no adapter at {path}; `gendkit train` writes {FILE}.")
        try:
            with safe_open(path, framework="pt", device="cpu") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, ValueError) as error:
            raise InvalidAdapter(f"{path} is no adapter, or damaged: {error}") from None
        if "gendkit" not in metadata:
            raise InvalidAdapter(
                f"{path} is a safetensors file, but not one of gendkit's adapters."
            )
        try:
            fields = json.loads(metadata["gendkit"])
            version, digest, expected = (fields.pop(key) for key in ("format", "digest", "hash"))
            if version not in READS:
                raise InvalidAdapter(
                    f"{path} has adapter format {version}; this gendkit reads "
                    f"{' and '.join(map(str, READS))}: upgrade it."
                )
            if _digest({**fields, "hash": expected}) != digest:
                raise InvalidAdapter(f"{path} is damaged: its header does not have its own digest.")
            preprocessing = fields.pop("preprocessing")
            for key in ("mean", "std"):
                preprocessing[key] = tuple(preprocessing[key])
            fields["classes"] = tuple(fields["classes"])
            header = Header(preprocessing=Preprocessing(**preprocessing), **fields)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InvalidAdapter(f"{path} has a damaged header: {error!r}") from None
        if header.kind not in WORDS:
            raise InvalidAdapter(
                f"{path} is of kind {header.kind!r}; this gendkit knows {', '.join(WORDS)}."
            )
        unknown = [n for n in tensors if not n.startswith((TUNED, HEAD))]
        adapter = cls.holding(
            header,
            {n.removeprefix(TUNED): t for n, t in tensors.items() if n.startswith(TUNED)},
            {n.removeprefix(HEAD): t for n, t in tensors.items() if n.startswith(HEAD)},
        )
        if unknown or set(adapter.head) != {"weight", "bias"}:
            raise InvalidAdapter(
                f"{path} has tensors {', '.join(sorted(tensors)[:5])}...; expected those of "
                "a backbone and a head with weight and bias."
            )
        if header.classes != CLASSES:
            raise InvalidAdapter(f"{path} orders its classes {header.classes}, expected {CLASSES}.")
        if adapter.hash != expected:
            raise InvalidAdapter(f"{path} is damaged: its numbers do not have its header's hash.")
        if not all(tensor.isfinite().all() for tensor in tensors.values()):
            raise InvalidAdapter(f"{path} has numbers that are not finite; train it anew.")
        return adapter

    def write(self, path: str | Path) -> Path:
        """Write the adapter file, whole or not at all."""
        path = Path(path)
        header = {**asdict(self.header), "hash": self.hash}
        header |= {"format": FORMAT, "digest": _digest(header)}
        tensors = {name: t.contiguous() for name, t in self._tensors().items()}
        write_whole(path, save(tensors, metadata={"gendkit": json.dumps(header, sort_keys=True)}))
        return path

    def __sub__(self, other: Adapter) -> Difference:
        """Compare with another adapter of the same base; the heads are subtracted too.

        `(a - b).by_layer()` says how far apart the layers are; `b + (a - b)` is a, to the rounding
        of float32.

        Raises
        ------
        WrongBackbone
            If the two start from other frozen weights or layer norms, or if that is unknown.
        InvalidAdapter
            If their tensors have other names or shapes.
        InvalidArgument
            If only one of the heads takes unit vectors.
        """
        return algebra.subtract(self, other) if isinstance(other, Adapter) else NotImplemented

    def __add__(self, difference: Difference) -> Adapter:
        """Move by a difference, layer norms and head; everything else stays this adapter's.

        Raises
        ------
        WrongBackbone, InvalidAdapter
            As for a difference.
        InvalidArgument
            As for a difference, or if the result is not finite.
        """
        if not isinstance(difference, Difference):
            return NotImplemented
        return algebra.add(self, difference)

    @staticmethod
    def average(adapters: Sequence[Adapter]) -> Adapter:
        """Return the mean of adapters, layer norms and heads: a soup of seeds.

        After Wortsman et al., Model soups, ICML 2022. The heads can be averaged because they are
        linear; that the mean is any good is only known once it is measured.

        Raises
        ------
        WrongBackbone, InvalidAdapter
            As for a difference.
        InvalidArgument
            If there are none, or they differ in preprocessing, extraction or compute dtype.
        """
        adapters = list(adapters)
        for adapter in adapters:
            if not isinstance(adapter, Adapter):
                raise InvalidArgument(
                    f"{type(adapter).__name__} is no adapter of layer norms; other kinds of "
                    "checkpoint cannot be averaged. Open a file with Adapter.read."
                )
            need_layer_norms(adapter, "averaged")
        return algebra.average(adapters)

    def interpolate(self, base: Mapping[str, Tensor], t: float) -> Adapter:
        """Return the adapter whose layer norms lie between the base's (0) and the tuned (1).

        Both ends are exact; other finite `t` go beyond them. The head stays the tuned one, as the
        base has none.

        Parameters
        ----------
        base
            The layer norms before tuning, by canonical names: `SharedBackbone.base_norms`, or
            `norms_of` a backbone to which no adapter is applied.
        t
            Where between them.

        Raises
        ------
        WrongBackbone
            If these are not the layer norms that it was tuned from, or if those are unknown.
        InvalidAdapter
            If they have other names or shapes.
        InvalidArgument
            If `t` is not finite.
        """
        return algebra.interpolate(self, base, t)

    def with_base(self, base: Mapping[str, Tensor]) -> Adapter:
        """Name the layer norms that an imported adapter was tuned from.

        Nothing can prove them; the name and shape of each are checked. An adapter that knows its
        base is returned as it is.

        Raises
        ------
        WrongBackbone
            If it knows its base, and that is another.
        InvalidAdapter
            If they have other names or shapes.
        """
        return algebra.claim_base(self, base)

    def apply(self, backbone: nn.Module, spec: BackboneSpec) -> None:
        """Put the tuned numbers into a live backbone with the base weights.

        All of its weights are hashed each time; `SharedBackbone` does that once. Layer norms can be
        put in the place of others; other kinds change the base for good.

        Raises
        ------
        WrongBackbone
            If the backbone's frozen weights are not those that the adapter was trained on; of other
            kinds than layer norms, if any of its weights are not.
        InvalidAdapter
            If its tensors are not exactly those that are tuned of the backbone.
        MissingDependency
            If it has low-rank factors, and peft is not installed.
        """
        found = frozen_hash(backbone, spec)
        if found != self.header.backbone_hash:
            raise WrongBackbone(
                f"the adapter belongs to {self.header.backbone} "
                f"({self.header.backbone_hash[:12]}), not to {spec.name} ({found[:12]}); "
                f"{_what_to_do(self.header.backbone, spec.name)}"
            )
        if self.header.kind != LAYER_NORMS and (
            (norms := norms_hash(backbone, spec)) != self.header.norms_hash
        ):
            raise WrongBackbone(
                f"the {self.header.kind} checkpoint was tuned from layer norms "
                f"{self.header.norms_hash[:12]} of {spec.name}, these are {norms[:12]}; load it "
                "with a backbone to which nothing is applied."
            )
        put(backbone, spec, self.header.kind, self.tuned, alpha=self.header.alpha)

    def _tensors(self) -> dict[str, Tensor]:
        return {
            **{TUNED + name: t for name, t in self.tuned.items()},
            **{HEAD + name: t for name, t in self.head.items()},
        }


def load_norms(backbone: nn.Module, spec: BackboneSpec, norms: Mapping[str, Tensor]) -> None:
    """Copy layer-norm tensors into a backbone, strictly.

    Raises
    ------
    InvalidAdapter
        If names or shapes differ.
    """
    put(backbone, spec, LAYER_NORMS, norms)


def header_of(
    backbone: nn.Module, spec: BackboneSpec, preprocessing: Preprocessing, **fields: Any
) -> Header:
    """Return the header for a backbone whose layer norms are still those of the base."""
    from gendkit import __version__

    return Header(
        backbone=spec.name,
        backbone_hash=frozen_hash(backbone, spec),
        norms_hash=norms_hash(backbone, spec),
        preprocessing=preprocessing,
        gendkit=__version__,
        **fields,
    )


def movement(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> pd.DataFrame:
    """How far each layer norm moved.

    Returns
    -------
    DataFrame
        One row a layer in order of depth: `layer`, `depth` (0 to 1), and for `weight` and `bias`
        the L2 norm of the change over the L2 norm before; NaN where that was 0.
    """
    import pandas as pd

    layers = list(dict.fromkeys(name.rpartition(".")[0] for name in before))
    rows = []
    for i, layer in enumerate(layers):
        row: dict[str, Any] = {"layer": layer, "depth": i / max(1, len(layers) - 1)}
        for key in ("weight", "bias"):
            a, b = before.get(f"{layer}.{key}"), after.get(f"{layer}.{key}")
            row[key] = float("nan")
            if a is not None and b is not None and a.any():
                row[key] = float((b - a).norm() / a.norm())
        rows.append(row)
    return pd.DataFrame(rows)


def _digest(header: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()


def _what_to_do(trained: str, given: str) -> str:
    """Return the way out where the hash of a backbone is not that of the adapter."""
    if trained != given:
        return "load it with the backbone that it was trained on."
    return (
        "its frozen weights were others then: they changed, or are drawn at random each time it "
        f"is built, which `gendkit plugins check {given} --pretrained` tells."
    )

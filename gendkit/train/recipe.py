"""Recipes: every choice of a training run, validated, with the presets of the method."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from gendkit.data.augmentation import Augmentation
from gendkit.errors import InvalidArgument, InvalidRecipe, MissingMedia, first_line
from gendkit.markup import DASH, card, visible
from gendkit.model.kinds import LAYER_NORMS, Kind
from gendkit.train.presets import PRESETS

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("must be finite")
    if value is not None and not isinstance(value, bool | int | float | str):
        raise ValueError("must be a number, a text, true, false or nothing")
    return value


Plain = Annotated[Any, AfterValidator(_plain)]
"""What an option of a loss may be, so that it comes back from YAML and JSON as it was."""


class _Frozen(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


class Selection(_Frozen):
    """Which epoch is kept."""

    data: str
    """What the validation manifest is, in words; recorded and shown beside results."""
    metric: Literal["macro-ap", "auroc", "last"] = "macro-ap"
    """Video-level metric on the validation manifest, or the last epoch whatever it scores."""
    datasets: tuple[str, ...] | None = None
    """Data sets that took part, and others of their families, by the names that manifests have.

    Of these, and of those that a run was validated on, `gk.benchmark` says so. None is not stated.
    """


class LossTerm(_Frozen):
    """A loss in the sum: `0.5`, or `{weight: 0.5, temperature: 0.1}` with options of its own.

    Which options a loss has, its plugin says; see `gendkit.train.losses.build_losses`.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Plain] = Field(init=False)

    weight: float
    """Factor of the loss in the sum."""

    @property
    def options(self) -> dict[str, Any]:
        """What the loss is built with."""
        return dict(self.__pydantic_extra__)

    @model_validator(mode="before")
    @classmethod
    def _weight_alone(cls, value: Any) -> Any:
        return value if isinstance(value, Mapping | LossTerm) else {"weight": value}

    @model_serializer(mode="plain")
    def _as_written(self) -> float | dict[str, Any]:
        return {"weight": self.weight, **self.options} if self.options else self.weight


class Lora(_Frozen):
    """Low-rank factors beside the projections to queries, keys and values.

    References
    ----------
    Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, ICLR 2022.
    """

    rank: Annotated[int, Field(ge=1)] = 8
    """Columns of one factor, rows of the other."""
    alpha: Positive = 16.0
    """The product of the factors is multiplied by alpha / rank."""


class Recipe(_Frozen):
    """A training run.

    Read one with `Recipe.of`, which takes a preset's name or a YAML file.
    """

    name: str
    """Shown in records."""
    backbone: str
    """Name of a backbone, such as `dinov2-vits14` or `timm:NAME`."""
    image_size: Annotated[int, Field(gt=0)] | None = None
    """Side of the input in pixels; None is the backbone's own."""
    tuning: Kind = "layer-norms"
    """What is tuned beside the head: layer norms, all bias terms, low-rank factors, or all weights.

    Only of layer norms can results be subtracted, averaged or share a backbone.
    """
    tuned_norms: Annotated[int, Field(ge=0)] | None = None
    """How many of the last layer norms are tuned; None is all, 0 is the head alone."""
    lora: Annotated[Lora | None, Field(validate_default=True)] = None
    """Of the low-rank factors, where these are tuned."""
    losses: Annotated[dict[str, LossTerm], Field(min_length=1)] = {
        "cross-entropy": LossTerm(weight=1.0)
    }
    """Losses by plugin name, each with its weight and, if wanted, options."""
    head_init: Literal["random", "probe"] = "random"
    """`random`, or a logistic regression on the frozen embeddings of the training crops."""
    probe_c: Positive = 1.0
    """Inverse strength of that regression's L2 penalty, as in scikit-learn."""
    logit_scale: Positive = 1.0
    """Factor on the logits in training; folded into the head that is kept."""
    sphere: bool = True
    """Whether the head takes unit vectors, as in the method, or features as they are.

    These are measured in training by the root mean square of their lengths on the frozen backbone,
    so that rates and the strength of the probe mean the same; that unit is folded into the head
    that is kept. Metric terms are always of unit vectors.
    """
    dtype: Literal["float32", "tf32", "bfloat16"] = "bfloat16"
    """Compute dtype of the encoder; `tf32` is float32 whose products CUDA may round to ten bits.

    Normalisation, metric terms and head are always float32.
    """
    learning_rate: Positive = 3e-4
    """Peak, for what is tuned of the backbone."""
    head_learning_rate: Positive | None = None
    """Peak, for the head and for losses with weights of their own; None is `learning_rate`."""
    min_learning_rate: Annotated[float, Field(ge=0, validate_default=True)] = 1e-5
    """Start of the warm-up and end of each cosine cycle; the head's is in proportion."""
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (
        0.9,
        0.999,
    )
    """AdamW's decay rates."""
    weight_decay: NotNegative = 0.0
    """AdamW's weight decay."""
    batch_size: Annotated[int, Field(ge=1)] = 128
    """Crops in a batch, shuffled; the last partial batch of an epoch is dropped."""
    micro_batch: Annotated[int, Field(ge=1)] | None = None
    """Crops whose graph is held at once; None is all. The gradient is the same, to rounding."""
    recompute: bool = False
    """Whether a block keeps its input alone for the backward pass and is run once more there.

    The same numbers in less memory, a step taking about a third longer.
    """
    batches: Literal["shuffled", "paired"] = "shuffled"
    """`paired` keeps the crops of one target clip, real and fake, together when shuffled."""
    epochs: Annotated[int, Field(ge=1)] = 30
    """Passes over the training manifest, the warm-up included."""
    warmup_epochs: NotNegative = 1.0
    """Linear warm-up, stepped per batch."""
    cycle_epochs: Positive = 10.0
    """Length of a cosine cycle, stepped per batch; the last may be cut short."""
    augmentation: str = "gend"
    """Of the training crops, before the resize: `gend`, `light` or `none`; a chain of degradations
    such as `jpeg:40..100@0.5`; or one after the other, `gend, blur:3..9:0.5..2@0.1`.

    `gend-batched` and `none-batched`, alone or with a chain after them, come after the resize and
    on the device, which frees the host but is not the same: AUROC on development data at 126 px
    was .059 lower with `gend-batched`, and .034 with a chain after `none-batched`.
    """
    selection: Selection
    """Which epoch is kept, and by what."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the head, the order, the augmentation, low-rank factors and weights of losses."""

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in self._changed.items())
        return visible(f"Recipe({fields})")

    def __str__(self) -> str:
        return repr(self)

    def _repr_html_(self) -> str:
        fields = self.model_dump(mode="json")
        return card(f"Recipe {self.name}", {name: _words(v) for name, v in fields.items()})

    @property
    def _changed(self) -> dict[str, Any]:
        """The fields that are not as by default."""
        default = {n: f.default for n, f in type(self).model_fields.items()}
        values = {name: getattr(self, name) for name in default}
        return {n: v for n, v in values.items() if v != default[n]}

    @field_validator("tuned_norms")
    @classmethod
    def _of_layer_norms(cls, value: int | None, info: ValidationInfo) -> int | None:
        kind = info.data.get("tuning", LAYER_NORMS)
        if value is not None and kind != LAYER_NORMS:
            raise ValueError(f"is for tuning {LAYER_NORMS}, not {kind}; leave it out")
        return value

    @field_validator("augmentation")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            return str(Augmentation.parse(value))
        except InvalidArgument as error:
            raise ValueError(str(error).rstrip(".")) from None

    @field_validator("lora")
    @classmethod
    def _of_lora(cls, value: Lora | None, info: ValidationInfo) -> Lora | None:
        kind = info.data.get("tuning", LAYER_NORMS)
        if kind == "lora":
            return value or Lora()
        if value is not None:
            raise ValueError(f"is for tuning lora, not {kind}; leave it out")
        return None

    @field_validator("min_learning_rate")
    @classmethod
    def _below_the_peak(cls, value: float, info: ValidationInfo) -> float:
        peak = info.data.get("learning_rate", math.inf)
        if value > peak:
            raise ValueError(f"must not be above learning_rate, {peak:g}")
        return value

    @classmethod
    def of(cls, source: str | Path | Recipe | Mapping[str, Any], /, **changes: Any) -> Recipe:
        """Return a recipe by preset name, from a YAML file or of a record, with fields changed.

        A YAML file holds fields; its field `preset`, if there, names the one that gives the rest.
        Fields of `selection` and `lora` are changed by `**{"selection.metric": "last"}`.

        Raises
        ------
        InvalidRecipe
            For an unknown preset or field, or an impossible value.
        MissingMedia
            If the file does not exist.
        """
        if isinstance(source, Recipe):
            return cls._checked(_changed(source.model_dump(), changes), source.name)
        if isinstance(source, Mapping):
            return cls._checked(_changed(source, changes), "of a record")
        if str(source) in PRESETS:
            return cls._checked(_changed(PRESETS[str(source)], changes), str(source))
        path = Path(source)
        if path.suffix not in (".yaml", ".yml"):
            raise InvalidRecipe(
                f"no recipe is named {str(source)!r}; the presets are {', '.join(PRESETS)}, "
                "or give a .yaml file."
            )
        if not path.is_file():
            raise MissingMedia(f"no recipe at {path}.")
        try:
            fields = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise InvalidRecipe(f"{path} is no YAML: {first_line(error)}.") from None
        if not isinstance(fields, dict):
            raise InvalidRecipe(
                f"{path} holds {type(fields).__name__}; expected fields of a recipe."
            )
        preset = fields.pop("preset", None)
        if preset is not None and str(preset) not in PRESETS:
            raise InvalidRecipe(f"{path}: preset {preset!r}; there is {', '.join(PRESETS)}.")
        base = dict(PRESETS[preset]) if preset else {}
        fields = {"name": path.stem, **base, **fields}
        return cls._checked(_changed(fields, changes), str(path))

    @classmethod
    def _checked(cls, fields: dict[str, Any], where: str) -> Recipe:
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            raise InvalidRecipe(f"recipe {where}: {_explain(error)}") from None

    def to_yaml(self) -> str:
        """Return all fields as YAML, from which `of` makes the same recipe."""
        return str(yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False))

    def rate(self, step: int, steps_per_epoch: int) -> float:
        """Return the backbone's learning rate for a step counted from 0.

        Linear from `min_learning_rate` over the warm-up, then cosine cycles from `learning_rate` to
        `min_learning_rate`, as in Loshchilov and Hutter, SGDR, ICLR 2017, without lengthening.
        """
        low, peak = self.min_learning_rate, self.learning_rate
        warmup = round(self.warmup_epochs * steps_per_epoch)
        if step < warmup:
            return low + (peak - low) * step / warmup
        cycle = max(1, round(self.cycle_epochs * steps_per_epoch))
        phase = ((step - warmup) % cycle) / cycle
        return low + (peak - low) * (1 + math.cos(math.pi * phase)) / 2


NESTED: MappingProxyType[str, type[BaseModel]] = MappingProxyType(
    {"selection": Selection, "lora": Lora}
)
"""Fields that have fields, which are changed one by one with a dot."""


def _changed(fields: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields with changes, of which one with a dot goes into a field's own fields."""
    changed = dict(fields)
    for name, value in changes.items():
        outer, dot, inner = name.partition(".")
        if dot and outer in NESTED and isinstance(changed.get(outer, {}), Mapping | None):
            changed[outer] = {**(changed.get(outer) or {}), inner: value}
        else:
            changed[name] = value
    return changed


def _words(value: Any) -> str:
    """Return a field as a reader of YAML would write it, in one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_words(v)}" for name, v in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_words, value))
    return DASH if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _explain(error: ValidationError) -> str:
    """Say in one line what is wrong with one bad field, a misspelt one first."""
    errors = sorted(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    first = errors[0]
    field = ".".join(str(p) for p in first["loc"])
    if first["type"] == "extra_forbidden":
        known = [
            *Recipe.model_fields,
            *(f"{outer}.{f}" for outer, model in NESTED.items() for f in model.model_fields),
        ]
        close = difflib.get_close_matches(field, known, n=1)
        meant = f"was {close[0]!r} meant?" if close else f"the fields are {', '.join(known)}."
        return f"unknown field {field!r}; {meant}"
    if first["type"] == "missing":
        return f"field {field!r} is missing."
    message = first["msg"].removeprefix("Value error, ")
    return f"field {field!r} is {first['input']!r}: {message}."

"""The vision tower of a model of transformers as a gendkit backbone: pixels in, one feature out.

A place and a configuration enter; a module leaves. Weights are read from safetensors only, and a
tensor that a file lacks is an error: transformers would draw it at random.
"""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from gendkit.errors import CorruptAsset, InvalidCheckpoint, InvalidSpec, MissingAsset, first_line
from gendkit.markup import visible

if TYPE_CHECKING:
    from gendkit_transformers.places import Place

ATTENTION = "sdpa"


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What is particular to an architecture.

    Attributes
    ----------
    model
        Name of the tower's class in transformers; its `pooler_output` is the feature.
    takes
        `any-size`; `one-size`, unless it is asked to interpolate its position embedding;
        `rotated`, any size with rotary positions; or `patches`, cut out of the pixels.
    canonical
        From its tensors' names to canonical ones.
    """

    model: str
    takes: Literal["any-size", "one-size", "rotated", "patches"]
    canonical: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]


class Tower(nn.Module):
    """A vision tower of transformers.

    Parameters
    ----------
    tower
        The model.
    options
        That its `forward` is given besides the pixels.
    """

    def __init__(self, tower: nn.Module, *, options: Mapping[str, Any]) -> None:
        super().__init__()
        self.tower = tower
        self.options = dict(options)

    def forward(self, pixels: Tensor) -> Tensor:
        """From normalised pixels (B, 3, H, W) to pooled features (B, D)."""
        feature: Tensor = self.tower(pixel_values=pixels, **self.options).pooler_output
        return feature


class Rows(nn.Module):
    """The embedding of a NaFlex SigLIP 2 for a batch of whole images of one size.

    transformers' own takes patches that were cut out before, of numbers that differ by image and
    that it reads from a tensor, for which a GPU would be waited for.

    Parameters
    ----------
    own
        transformers' module.
    patch
        Side of a patch in pixels.
    """

    def __init__(self, own: Any, *, patch: int) -> None:
        super().__init__()
        self.patch_embedding = own.patch_embedding
        self.position_embedding = own.position_embedding
        self.patch = patch

    def forward(self, pixels: Tensor, spatial_shapes: None) -> Tensor:
        """From pixels (B, 3, H, W) to embeddings (B, patches, D)."""
        b, c, height, width = pixels.shape
        p, h, w = self.patch, height // self.patch, width // self.patch
        patches = pixels.reshape(b, c, h, p, w, p).permute(0, 2, 4, 3, 5, 1).reshape(b, h * w, -1)
        x: Tensor = self.patch_embedding(patches.to(self.patch_embedding.weight.dtype))
        positions: Tensor = self.position_embedding.weight
        grid = math.isqrt(len(positions))
        if (h, w) == (grid, grid):
            return x + positions
        resampled = nn.functional.interpolate(
            positions.float().T.reshape(1, -1, grid, grid), size=(h, w), mode="bilinear",
            antialias=True,
        )  # fmt: skip
        return x + resampled.flatten(2).transpose(1, 2).to(positions.dtype)


class Positions(nn.Module):
    """DINOv3's rotary positions, in float32 under autocast whatever dtype weights are held in.

    transformers' own module takes the dtype of the patch embedding, and keeps the tensors of a
    size for all models of the process, so that fake ones, or those of a graph, would be met again.

    Parameters
    ----------
    own
        transformers' module.
    patch
        Side of a patch in pixels.
    """

    def __init__(self, own: Any, *, patch: int) -> None:
        super().__init__()
        self.inv_freq: Tensor
        self.register_buffer("inv_freq", own.inv_freq, persistent=False)
        self.patch = patch

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """From pixels (B, 3, H, W) to cosines and sines (patches, width of a head)."""
        device = pixels.device
        sides = [n // self.patch for n in pixels.shape[-2:]]
        rows, columns = (
            2 * (torch.arange(0.5, n, device=device, dtype=torch.float32) / n) - 1 for n in sides
        )
        places = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), dim=-1).flatten(0, 1)
        angles = 2 * math.pi * places[:, :, None] * self.inv_freq.float()
        angles = angles.flatten(1, 2).tile(2)
        wide = torch.is_autocast_enabled(device.type)
        dtype = torch.float32 if wide else pixels.dtype
        return angles.cos().to(dtype), angles.sin().to(dtype)


def build(
    *,
    place: Place,
    config: Any,
    architecture: Architecture,
    pretrained: bool = True,
    image_size: int,
    depth: int | None = None,
) -> nn.Module:
    """Build the tower of a model.

    Parameters
    ----------
    place
        Where its files are.
    config
        Of the tower, as transformers has it.
    architecture
        Of the tower.
    pretrained
        With False the weights are random, and nothing is read or fetched.
    image_size
        Side of the input in pixels. At another one than the position embedding was made for, it is
        interpolated as transformers does it.
    depth
        Number of blocks; all by default.

    Raises
    ------
    InvalidSpec
        If the architecture cannot be built with this size or depth.
    MissingAsset
        If there are no weights, or none as safetensors.
    InvalidCheckpoint
        If they lack a tensor, or have one of another shape.
    CorruptAsset
        If their file is damaged.
    """
    _check(place, config, image_size=image_size, depth=depth)
    config = copy.deepcopy(config)
    if depth is not None:
        config.num_hidden_layers = depth
    with quiet():
        kind = _class(architecture.model)
        if pretrained:
            tower = _loaded(kind, config, place, architecture)
        else:
            tower = kind._from_config(config, attn_implementation=ATTENTION, dtype=torch.float32)
    options: dict[str, Any] = {}
    if architecture.takes == "one-size":
        options = {"interpolate_pos_encoding": image_size != native(config)}
    elif architecture.takes == "patches":
        tower.embeddings = Rows(tower.embeddings, patch=side(config.patch_size))
        options = {"pixel_attention_mask": None, "spatial_shapes": None}
    elif architecture.takes == "rotated":
        tower.rope_embeddings = Positions(tower.rope_embeddings, patch=side(config.patch_size))
    return Tower(tower, options=options).eval()


def native(config: Any) -> int:
    """Return the side in pixels for which a tower's position embedding was made."""
    if config.model_type == "siglip2_vision_model":
        return side(config.patch_size) * math.isqrt(config.num_patches)
    return side(config.image_size)


def side(size: Any) -> int:
    """Return the side of a square of a configuration, which may be written as two numbers.

    Raises
    ------
    InvalidCheckpoint
        If it is none.
    """
    sides = set(size) if isinstance(size, list | tuple) else {size}
    if len(sides) != 1 or not isinstance(one := sides.pop(), int) or one < 1:
        raise InvalidCheckpoint(f"the configuration tells of a size {size!r}; expected a square.")
    return one


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers from telling what our own errors tell, and from its bars."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    if bars:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _check(place: Place, config: Any, *, image_size: int, depth: int | None) -> None:
    patch = side(config.patch_size)
    if image_size != native(config) and (image_size < 1 or image_size % patch):
        raise InvalidSpec(
            f"{place.key} takes sides that are multiples of its patch of {patch} pixels, got "
            f"{image_size}."
        )
    if depth is not None and not 1 <= depth <= config.num_hidden_layers:
        raise InvalidSpec(
            f"{place.key} has {config.num_hidden_layers} blocks; a depth of {depth} is not to be "
            "had."
        )


def _class(name: str) -> Any:
    import transformers

    return getattr(transformers, name)


def _loaded(kind: Any, config: Any, place: Place, architecture: Architecture) -> Any:
    folder = place.weights()
    try:
        tower, told = kind.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            attn_implementation=ATTENTION,
            use_safetensors=True,
            local_files_only=True,
            ignore_mismatched_sizes=True,  # they are told, and refused below
            output_loading_info=True,
        )
    except SafetensorError as error:
        raise CorruptAsset(
            f"the weights in {folder} are damaged ({visible(first_line(error))}); fetch them anew."
        ) from error
    except (OSError, ValueError, RuntimeError) as error:
        raise MissingAsset(
            f"the weights of {place.key} cannot be read ({type(error).__name__}: "
            f"{visible(first_line(error))})."
        ) from error
    missing = architecture.canonical(dict.fromkeys(told["missing_keys"], torch.empty(0)))
    wrong = [name for name, *_ in told["mismatched_keys"]]
    if missing or wrong or told["error_msgs"]:
        raise InvalidCheckpoint(
            f"the weights in {folder} do not make the {architecture.model} that config.json "
            f"tells: missing {sorted(missing)[:3]}, of another shape {sorted(wrong)[:3]}"
            f"{_more(told['error_msgs'])}."
        )
    return tower


def _more(messages: Any) -> str:
    return f", and {visible(first_line(ValueError(next(iter(messages)))))}" if messages else ""

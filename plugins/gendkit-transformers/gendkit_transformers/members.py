"""From a key to a backbone's spec, by the model's configuration alone: no weight is read.

The name of a member is `transformers:` and a hub id, or a folder's absolute path.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from gendkit.errors import UnknownPart, first_line
from gendkit.markup import visible
from gendkit.plugin import ResolvedBackbone
from gendkit_transformers import names
from gendkit_transformers.places import CONFIG, Place
from gendkit_transformers.preprocessing import Input, input_of
from gendkit_transformers.towers import Architecture, build, native, quiet

FAMILY = "transformers"
UNSTATED = "see the model"
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
OPENAI = {
    "mean": (0.48145466, 0.4578275, 0.40821073),
    "std": (0.26862954, 0.26130258, 0.27577711),
}
HALF = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
SQUASHED = {"resize": "squash", "interpolation": "bilinear"}

CLIP = Architecture(model="CLIPVisionModel", takes="one-size", canonical=names.clip)
SIGLIP = Architecture(model="SiglipVisionModel", takes="one-size", canonical=names.siglip)
NAFLEX = Architecture(model="Siglip2VisionModel", takes="patches", canonical=names.siglip)
DINOV2 = Architecture(model="Dinov2Model", takes="any-size", canonical=names.dinov2)
REGISTERS = Architecture(model="Dinov2WithRegistersModel", takes="any-size", canonical=names.dinov2)
DINOV3 = Architecture(model="DINOv3ViTModel", takes="rotated", canonical=names.dinov3)

KNOWN: Mapping[str, tuple[str, Architecture, Mapping[str, Any]]] = MappingProxyType(
    {
        "clip": ("CLIP", CLIP, {**OPENAI, "resize": "short-side"}),
        "clip_vision_model": ("CLIP", CLIP, {**OPENAI, "resize": "short-side"}),
        "siglip": ("SigLIP", SIGLIP, {**HALF, "resize": "squash"}),
        "siglip_vision_model": ("SigLIP", SIGLIP, {**HALF, "resize": "squash"}),
        "siglip2": ("SigLIP 2 NaFlex", NAFLEX, {**HALF, **SQUASHED}),
        "siglip2_vision_model": ("SigLIP 2 NaFlex", NAFLEX, {**HALF, **SQUASHED}),
        "dinov2": ("DINOv2", DINOV2, {**IMAGENET, "resize": "short-side", "image_size": 224}),
        "dinov2_with_registers": (
            "DINOv2 with registers",
            REGISTERS,
            {**IMAGENET, "resize": "short-side", "image_size": 224},
        ),
        "dinov3_vit": (
            "DINOv3",
            DINOV3,
            {**IMAGENET, **SQUASHED},
        ),
    }
)
"""By `model_type`: in words, the architecture, and the input as its authors published it."""


def member(key: str) -> ResolvedBackbone:
    """Return the spec of `transformers:KEY`.

    Raises
    ------
    UnknownPart
        If there is no such model, or it is of no architecture that is known here.
    InvalidCheckpoint
        If its input is one that gendkit cannot make.
    MissingAsset
        If its configuration is neither cached nor to be had.
    """
    place = Place.of(key)
    config = _config(place)
    words, architecture, published = KNOWN[config.model_type]
    tower = getattr(config, "vision_config", config)
    if not getattr(tower, "vision_use_head", True):
        raise UnknownPart(f"{place.key} has no pooled feature: its vision_use_head is false.")
    taken = input_of(
        place,
        Input(**{"image_size": native(tower), "interpolation": "bicubic", **published}),
    )
    return ResolvedBackbone(
        name=f"{FAMILY}:{place.key}",
        summary=f"{words} of Hugging Face, {tower.num_hidden_layers} blocks",
        licence=_licence(place),
        dim=tower.hidden_size,
        build=partial(
            build,
            place=place,
            config=tower,
            architecture=architecture,
            image_size=taken.image_size,
        ),
        canonical=architecture.canonical,
        **vars(taken),
    )


def _config(place: Place) -> Any:
    """Read a model's configuration, if it is of a known architecture."""
    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoConfig

    try:
        told = json.loads((place.folder / CONFIG).read_bytes())
        kind = told.get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise UnknownPart(f"{CONFIG} of {place.key} cannot be read ({error!r}).") from None
    if kind not in KNOWN:
        raise UnknownPart(
            f"{place.key} is of the type {kind!r}; known here are {', '.join(KNOWN)}."
        )
    if told.get("quantization_config") is not None:
        raise UnknownPart(f"{place.key} is quantised; take the model with plain weights.")
    try:
        with quiet():
            return AutoConfig.from_pretrained(
                place.folder, trust_remote_code=False, local_files_only=True
            )
    except (StrictDataclassError, OSError, ValueError, TypeError, AttributeError) as error:
        raise UnknownPart(
            f"{CONFIG} of {place.key} is refused by transformers ({visible(first_line(error))})."
        ) from None


def _licence(place: Place) -> str:
    """Return the licence that the model card states, if the card is here."""
    path = place.card()
    card = "" if path is None else path.read_text(encoding="utf-8", errors="replace")
    front = re.match(r"---\s*\n(.*?)\n---", card, flags=re.S)
    stated = dict(
        re.findall(r"^(license(?:_name)?):[ \t]*(\S.*)$", front[1] if front else "", re.M)
    )
    found = stated.get("license_name", "") or stated.get("license", "")
    found = found.strip().strip("'\"")
    return found if found and found.isprintable() else UNSTATED

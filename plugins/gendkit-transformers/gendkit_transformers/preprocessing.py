"""How a model wants its input, from its own preprocessor configuration or as it was published.

The configuration is read as what it is, a table: transformers' processors would bring their own
resampling, while gendkit resamples by itself and needs the numbers only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from gendkit.errors import InvalidCheckpoint
from gendkit.plugin.specs import Interpolation, Resize, Triple
from gendkit_transformers.places import Place

FILES = (("preprocessor_config.json", ""), ("processor_config.json", "image_processor"))
"""Where it stands, and under which key; later releases write one file for text and images."""
RESAMPLE: Mapping[int, Interpolation] = {2: "bilinear", 3: "bicubic"}
"""Pillow's numbers."""


@dataclass(frozen=True, kw_only=True)
class Input:
    """What a model takes; the fields are those of a `BackboneSpec`."""

    image_size: int
    mean: Triple
    std: Triple
    resize: Resize
    interpolation: Interpolation


def input_of(place: Place, published: Input) -> Input:
    """Return what a model takes.

    Where the short side is to be made larger than the square that is then cut out (256 and 224
    pixels), the side of the square is what counts: a face crop has no margin to cut off.

    Parameters
    ----------
    place
        Of the model.
    published
        By the architecture's authors: what holds for each field that the model does not tell.

    Raises
    ------
    InvalidCheckpoint
        If the model tells something that gendkit does not do.
    """
    for name, key in FILES:
        path = place.file(name)
        if path is None:
            continue
        try:
            found = json.loads(path.read_bytes())
            found = found.get(key) if key else found
            if found is not None:
                return _read(found, published)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InvalidCheckpoint(f"{path} tells no input that gendkit knows: {error}.") from None
    return published


def _read(found: Mapping[str, Any], published: Input) -> Input:
    taken = _sized(found, published)
    if (number := found.get("resample")) is not None:
        if number not in RESAMPLE:
            raise ValueError(f"resample is {number!r}, expected 2 (bilinear) or 3 (bicubic)")
        taken = replace(taken, interpolation=RESAMPLE[number])
    factor = float(found.get("rescale_factor") or 1 / 255)
    if found.get("do_rescale") is False or abs(factor * 255 - 1) > 1e-6:
        raise ValueError(f"pixels are multiplied by {factor:g}, expected by 1/255")
    if found.get("do_normalize") is False:
        return replace(taken, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    mean, std = found.get("image_mean"), found.get("image_std")
    return replace(
        taken,
        mean=taken.mean if mean is None else _triple(mean),
        std=taken.std if std is None else _triple(std),
    )


def _sized(found: Mapping[str, Any], published: Input) -> Input:
    """Read the side of the input, and whether its shape is kept."""
    resize, side = published.resize, published.image_size
    if found.get("do_resize") is not False and (size := found.get("size")) is not None:
        if isinstance(size, Mapping) and set(size) == {"shortest_edge"}:
            resize, side = "short-side", int(size["shortest_edge"])
        elif isinstance(size, Mapping) and set(size) == {"height", "width"}:
            resize, side = "squash", _square(size)
        else:  # a bare number is the short side for some, a square for others
            side = _square(size)
    # Where it is not told, processors that keep the shape cut the centre out, the others do not.
    crop = found.get("crop_size")
    if crop is not None and found.get("do_center_crop", resize == "short-side"):
        side = _square(crop)
    return replace(published, resize=resize, image_size=side)


def _square(size: Any) -> int:
    if isinstance(size, Mapping) and set(size) == {"height", "width"}:
        if size["height"] == size["width"]:
            return int(size["height"])
    elif not isinstance(size, Mapping | bool):
        return int(size)
    raise ValueError(f"size is {size!r}, expected a number, a short side or a square")


def _triple(values: Any) -> Triple:
    red, green, blue = map(float, values)
    return red, green, blue

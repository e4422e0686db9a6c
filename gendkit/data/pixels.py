"""From face crops (H, W, 3), RGB uint8, to a backbone's input (B, 3, S, S), normalised float32."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gendkit.data.resample import resample
from gendkit.errors import InvalidImage
from gendkit.plugin.specs import Preprocessing


def check_crop(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the crop if it is an RGB uint8 array (H, W, 3).

    Raises
    ------
    InvalidImage
        Saying what was got.
    """
    array = np.asarray(crop)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        got = f"{array.dtype} {array.shape}"
        if array.dtype.kind == "U":
            got = f"{str(crop)!r}, a text: a detector's `examine` cuts the faces of a file"
        raise InvalidImage(f"a face crop is an RGB uint8 array (H, W, 3); got {got}.")
    return array


def resize(crop: NDArray[np.uint8], preprocessing: Preprocessing) -> Tensor:
    """Resize a crop (H, W, 3) to the input size, uint8 (3, S, S), as Pillow does, antialiased.

    Pillow is what the pretrained encoders were fed with; other resamplers differ by grey levels.
    """
    image, size = check_crop(crop), preprocessing.size
    height, width = image.shape[:2]
    if preprocessing.resize == "squash":
        width = height = size
    else:
        short = min(width, height)
        width, height = int(size * width / short), int(size * height / short)
    left, top = round((width - size) / 2), round((height - size) / 2)
    if image.shape[:2] == (size, size):  # each new pixel is an old one
        return torch.from_numpy(np.require(image, requirements=["C", "W"])).permute(2, 0, 1)
    box = left, top, left + size, top + size
    resized = resample(image, (width, height), box, preprocessing.interpolation)
    return torch.from_numpy(resized).permute(2, 0, 1)


def thumbnail(crop: NDArray[np.uint8], *, side: int) -> NDArray[np.uint8]:
    """Return a crop (H, W, 3) made so small that no side is longer, antialiased; never larger."""
    image = check_crop(crop)
    height, width = image.shape[:2]
    factor = min(1.0, side / max(width, height))
    width, height = max(1, round(width * factor)), max(1, round(height * factor))
    return resample(image, (width, height), (0, 0, width, height))


def to_pixels(crops: Sequence[NDArray[np.uint8]], preprocessing: Preprocessing) -> Tensor:
    """Resize and normalise crops of any sizes into one batch (B, 3, S, S).

    Raises
    ------
    InvalidImage
        For a crop that is not RGB uint8.
    """
    if not len(crops):
        return torch.empty(0, 3, preprocessing.size, preprocessing.size)
    return normalise_pixels(torch.stack([resize(c, preprocessing) for c in crops]), preprocessing)


def normalise_pixels(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Scale uint8 images (B, 3, S, S) to 0..1, subtract the mean and divide by the deviation."""
    mean = torch.tensor(preprocessing.mean, device=images.device).view(1, 3, 1, 1)
    std = torch.tensor(preprocessing.std, device=images.device).view(1, 3, 1, 1)
    pixels = images.to(torch.float32, memory_format=torch.contiguous_format, copy=True)
    return pixels.div_(255).sub_(mean).div_(std)

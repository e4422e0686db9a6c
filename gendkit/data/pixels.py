"""From face crops (H, W, 3), RGB uint8, to a backbone's input (B, 3, S, S), normalised float32."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.v2 import functional as T
from torchvision.transforms.v2.functional import InterpolationMode

from gendkit.errors import InvalidImage
from gendkit.plugin.specs import Preprocessing

_MODES = {"bicubic": InterpolationMode.BICUBIC, "bilinear": InterpolationMode.BILINEAR}


def check_crop(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the crop if it is an RGB uint8 array (H, W, 3).

    Raises
    ------
    InvalidImage
        Saying what was got.
    """
    array = np.asarray(crop)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise InvalidImage(
            f"a face crop is an RGB uint8 array (H, W, 3); got {array.dtype} {array.shape}."
        )
    return array


def resize(image: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Resize a uint8 image (3, H, W) to the input size (3, S, S), with antialiasing."""
    size = preprocessing.size
    mode = _MODES[preprocessing.interpolation]
    target: list[int] = [size] if preprocessing.resize == "short-side" else [size, size]
    image = T.resize(image, target, interpolation=mode, antialias=True)
    return T.center_crop(image, [size, size]) if preprocessing.resize == "short-side" else image


def to_pixels(crops: Sequence[NDArray[np.uint8]], preprocessing: Preprocessing) -> Tensor:
    """Resize and normalise crops of any sizes into one batch (B, 3, S, S).

    Raises
    ------
    InvalidImage
        For a crop that is not RGB uint8.
    """
    tensors = [torch.from_numpy(np.ascontiguousarray(check_crop(c))).permute(2, 0, 1) for c in crops]
    if not tensors:
        return torch.empty(0, 3, preprocessing.size, preprocessing.size)
    return normalise_pixels(torch.stack([resize(t, preprocessing) for t in tensors]), preprocessing)


def normalise_pixels(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Scale uint8 images (B, 3, S, S) to 0..1, subtract the mean and divide by the deviation."""
    mean = torch.tensor(preprocessing.mean, device=images.device).view(1, 3, 1, 1)
    std = torch.tensor(preprocessing.std, device=images.device).view(1, 3, 1, 1)
    return (images.float() / 255 - mean) / std

"""A small trained transposed convolution, the enlarging step of a generative network.

In go pictures, out comes an `Upsampler`: one kernel for each factor, fitted by least squares so
that zero insertion followed by the kernel gives the pictures back from their reduced copies. The
kernels are as small as in many networks and do not cover all phases alike, which leaves the known
periodic pattern (Odena et al., "Deconvolution and checkerboard artifacts", 2016).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from gendkit.data.forge.geometry import Floats
from gendkit.errors import MissingMedia

if TYPE_CHECKING:
    from gendkit.plugin.protocols import Image

KERNEL_SIZES: Mapping[int, int] = {2: 3, 3: 5, 4: 7}
_PATCHES = 24
_PATCH = 48


@dataclass(frozen=True, kw_only=True)
class Upsampler:
    """Fitted kernels.

    Attributes
    ----------
    kernels
        (factor, rows of the kernel) pairs; plain numbers, so that it can be hashed and pickled.
    """

    kernels: tuple[tuple[int, tuple[tuple[float, ...], ...]], ...]

    def __call__(self, image: Floats, *, factor: int) -> Floats:
        """Return an image (H, W, 3) enlarged to (factor H, factor W, 3)."""
        kernel = np.array(dict(self.kernels)[factor], np.float32)
        spread = _spread(image, factor)
        return np.asarray(
            cv2.filter2D(spread, cv2.CV_32F, kernel, borderType=cv2.BORDER_REFLECT_101)
        )


def fit_upsampler(images: Iterable[Image], *, seed: int) -> Upsampler:
    """Fit the kernels on RGB uint8 pictures, on patches of 48 pixels drawn by the seed.

    Raises
    ------
    MissingMedia
        If no picture is larger than a patch.
    """
    rng = np.random.default_rng([0x0B5, seed])
    patches: list[Floats] = []
    for image in images:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
        height, width = grey.shape
        if min(height, width) <= _PATCH:
            continue
        for _ in range(_PATCHES):
            row, column = rng.integers(height - _PATCH), rng.integers(width - _PATCH)
            patches.append(grey[row : row + _PATCH, column : column + _PATCH])
    if not patches:
        raise MissingMedia(f"an upsampler is fitted on pictures larger than {_PATCH} px; got none.")
    return Upsampler(
        kernels=tuple(
            (factor, tuple(tuple(float(v) for v in row) for row in _kernel(patches, factor)))
            for factor in KERNEL_SIZES
        )
    )


def _kernel(patches: list[Floats], factor: int) -> NDArray[np.float64]:
    size = KERNEL_SIZES[factor]
    half = size // 2
    gram, moment = np.zeros((size**2, size**2)), np.zeros(size**2)
    for patch in patches:
        reduced = cv2.resize(
            patch, (_PATCH // factor, _PATCH // factor), interpolation=cv2.INTER_AREA
        )
        spread = _spread(reduced, factor)
        windows = np.lib.stride_tricks.sliding_window_view(spread, (size, size))
        inputs = windows.reshape(-1, size**2).astype(np.float64)
        wanted = patch[half : half + windows.shape[0], half : half + windows.shape[1]].ravel()
        gram += inputs.T @ inputs
        moment += inputs.T @ wanted
    ridge = 1e-6 * np.trace(gram) / size**2
    return np.asarray(np.linalg.solve(gram + ridge * np.eye(size**2), moment).reshape(size, size))


def _spread(image: Floats, factor: int) -> Floats:
    """Insert zeros: each pixel goes to the middle of its block of factor × factor."""
    shape = (image.shape[0] * factor, image.shape[1] * factor, *image.shape[2:])
    spread = np.zeros(shape, np.float32)
    spread[factor // 2 :: factor, factor // 2 :: factor] = image
    return spread

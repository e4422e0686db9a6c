"""The built-in `whole-frame`, which looks for no face: the picture is the face.

It is for pictures and videos that were cropped before, such as the frames of DeepfakeBench or the
files of GenD's own tree. A picture is kept to the pixel: nothing is aligned, scaled or cut off, and
the manifest has no landmarks, since none were found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gendkit.data.faces import TEMPLATE, check_image
from gendkit.errors import InvalidArgument
from gendkit.plugin.protocols import Face

if TYPE_CHECKING:
    from gendkit.plugin.protocols import Image


class WholeFrame:
    """Takes each picture for one face.

    Parameters
    ----------
    threshold
        0: there is no confidence that could be above another.

    Raises
    ------
    InvalidArgument
        For any other threshold.
    """

    name = "whole-frame"
    """By which the plugin gives it; recorded with the crops."""
    detects = False
    """It looks for no face, so that crops are whole pictures."""

    def __init__(self, *, threshold: float = 0.0) -> None:
        if threshold != 0:
            raise InvalidArgument(
                f"whole-frame looks for no face and has no threshold, got {threshold}; leave it "
                "away, or name an extractor that finds faces."
            )

    @property
    def threshold(self) -> float:
        """0: no picture is left out."""
        return 0.0

    def __call__(self, image: Image, /) -> list[Face]:
        """Return one face: the whole of an RGB uint8 image (H, W, 3).

        Its landmarks are not found but assumed, where a face has them that was aligned and fills
        the middle square. Crops are not made by them.

        Raises
        ------
        InvalidImage
            For another shape or dtype.
        """
        check_image(image)
        height, width = image.shape[:2]
        middle = np.array([width - 1, height - 1]) / 2
        points = middle + (np.asarray(TEMPLATE) - 0.5) * (min(height, width) - 1)
        box = (0.0, 0.0, width - 1.0, height - 1.0)
        return [Face(box=box, landmarks=points.astype(np.float32), confidence=1.0)]

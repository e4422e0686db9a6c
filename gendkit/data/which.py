"""Which of a frame's faces are meant: one choice a run, written into the manifest.

The faces that were found in a frame enter, with the frame's manipulation mask if its dataset brings
one; those that are to be cropped leave, or the reason why there is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from gendkit.data.faces import by_size, largest_face, overlapping_face
from gendkit.errors import InvalidArgument

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gendkit.plugin.protocols import Face, Frame

Which = Literal["meant", "largest", "mask", "track", "all"]
"""The rules:

- `meant`: the face that overlaps the frame's manipulation mask most; the largest of a frame whose
  dataset brings no mask;
- `largest`: the largest, also where there is a mask;
- `mask`: as `meant`, but a frame without a mask is left out, unless its clip is real or its dataset
  brings landmarks;
- `track`: of the people of the clip only the main one, see `gendkit.data.people.main_person`;
- `all`: each face, with the number of the person.

By each rule a frame whose mask is empty is left out, because nothing in it was manipulated.
"""
WHICH: tuple[Which, ...] = get_args(Which)
OF_A_FILE: tuple[Which, ...] = ("largest", "track", "all")
"""Those that differ where there is no dataset, and so no mask."""

EMPTY_MASK = "the manipulation mask is empty"
OFF_MASK = "no face overlaps the manipulation mask"
NO_MASK = "the frame has no manipulation mask to choose the face by"


def check_which(which: str) -> None:
    """Refuse a rule that there is not.

    Raises
    ------
    InvalidArgument
        With those that there are.
    """
    if which not in WHICH:
        raise InvalidArgument(f"no faces are called {which!r}; there is {', '.join(WHICH)}.")


def is_real(media: object) -> bool:
    """Tell whether media is a clip that its dataset says is real."""
    return getattr(media, "label", None) == 0


def masked_out(frame: Frame, *, which: Which, real: bool) -> str:
    """Return why a frame is left out before a face is sought; empty if it is not."""
    if frame.mask is None:
        needed = which == "mask" and not real and frame.landmarks is None
        return NO_MASK if needed else ""
    got, expected = np.shape(frame.mask), frame.image.shape[:2]
    if got != expected:
        return f"the manipulation mask has the shape {got}, expected that of the image, {expected}"
    return "" if np.any(frame.mask) else EMPTY_MASK


def by_mask(which: Which) -> bool:
    """Tell whether a mask, where there is one, says which face is meant."""
    return which in ("meant", "mask")


def chosen(
    faces: Sequence[Face], mask: NDArray[np.bool_] | None, *, which: Which
) -> Sequence[Face]:
    """Return the faces of a frame that a rule asks for, of several the largest first."""
    if which in ("all", "track"):
        return by_size(faces)
    masked = mask is not None and by_mask(which)
    one = overlapping_face(faces, mask) if masked and mask is not None else largest_face(faces)
    return () if one is None else (one,)

"""What is asked of an extraction, in numbers: refused before any work if it cannot be."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gendkit.data.faces import LARGEST
from gendkit.data.media import ORDERS, Order, frame_order
from gendkit.errors import InvalidArgument


def check_numbers(
    *, frames: int, order: Order | Sequence[int], seed: int, scale: float, size: int | None
) -> None:
    """Refuse before any work what would fail on each frame; see `examine`.

    Raises
    ------
    InvalidArgument
        Naming what cannot be.
    """
    if not isinstance(frames, int) or not frames > 0:
        raise InvalidArgument(f"frames is {frames}; expected a whole number from 1.")
    if size is not None and not (isinstance(size, int) and 0 < size <= LARGEST):
        raise InvalidArgument(f"size is {size}; expected whole pixels from 1 to {LARGEST}.")
    if not 0 < scale < math.inf:
        raise InvalidArgument(f"scale is {scale}; expected a number above 0.")
    if isinstance(order, str):
        frame_order(1, order, count=frames, seed=seed)
    else:
        explicit(order)


def explicit(order: Sequence[int]) -> list[int]:
    """Return numbers of frames that were asked for, if they can be.

    Raises
    ------
    InvalidArgument
        If they cannot.
    """
    asked = [int(number) for number in order if int(number) == number]
    if not asked or min(asked) < 0 or len(set(asked)) < len(order):
        raise InvalidArgument(
            f"frames {list(order)[:8]} cannot be looked at; give numbers from 0, each once, or an "
            f"order such as {ORDERS[0]}."
        )
    return asked

"""What the built-in datasets ask of their options, and the names and seeds that they give clips."""

from __future__ import annotations

import hashlib
import numbers
import re
from collections.abc import Iterable
from typing import Any

from gendkit.data.splits import SPLITS, Split
from gendkit.errors import InvalidOption, UnknownPart


def checked_splits(splits: str | Iterable[Split]) -> tuple[Split, ...]:
    """Return the splits that are named, in their own order."""
    there = f"there is {', '.join(SPLITS)}"
    if isinstance(splits, str):
        wanted: list[Any] = [name.strip() for name in splits.split(",") if name.strip()]
    elif isinstance(splits, Iterable):
        wanted = list(splits)
    else:
        raise InvalidOption(f"splits must be a name or a list of names, got {splits!r}; {there}.")
    if not wanted:
        raise InvalidOption(f"splits names none; {there}.")
    if unknown := [s for s in wanted if s not in SPLITS]:
        raise UnknownPart(f"no split is named {unknown[0]!r}; {there}.")
    return tuple(s for s in SPLITS if s in wanted)


def whole(name: str, value: Any, *, least: int, most: int | None = None) -> int:
    """Return a whole number within bounds."""
    number = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if number and least <= value and (most is None or value <= most):
        return int(value)
    bounds = f"of {least} or more" if most is None else f"from {least} to {most}"
    raise InvalidOption(f"{name} must be a whole number {bounds}, got {value!r}.")


def fraction(name: str, value: Any) -> float:
    """Return a number from 0 to 1."""
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if number and 0 <= value <= 1:
        return float(value)
    raise InvalidOption(f"{name} must be a number from 0 to 1, got {value!r}.")


def yes_or_no(name: str, value: Any) -> bool:
    """Return true or false."""
    if not isinstance(value, bool):
        raise InvalidOption(f"{name} must be true or false, got {value!r}.")
    return value


def seed_of(*parts: object) -> int:
    """Return a seed below 2**56 for what the parts name together."""
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")


def safe_name(name: str) -> str:
    """Return a name in the characters of a clip's id; one that had to be changed gets a digest."""
    safe = re.sub(r"[^A-Za-z0-9_.-]", "_", name)
    if safe == name and safe.strip("."):
        return name
    return f"{safe}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"

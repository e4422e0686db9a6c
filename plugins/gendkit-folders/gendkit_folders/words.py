"""Which words mean real, fake, or a split. Nothing else is taken for either; case does not count.

Whole names only: `real_videos` is no word of these, and is asked about instead of guessed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from gendkit.data.columns import SPLITS
from gendkit.errors import InvalidLabels, InvalidOption

REAL = ("real", "original", "pristine", "genuine", "0")
FAKE = ("fake", "manipulated", "forged", "deepfake", "1")
LABELS: Mapping[str, int] = {**dict.fromkeys(REAL, 0), **dict.fromkeys(FAKE, 1)}
MEANINGS = {"real": 0, "fake": 1, "unknown": -1}
SPLIT_WORDS: Mapping[str, str] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("development", "dev", "val", "valid", "validation"), "development"),
    **dict.fromkeys(("final", "test", "testing"), "final"),
}
KNOWN = f"real is {', '.join(REAL)}; fake is {', '.join(FAKE)}"

_UNSAFE = re.compile(r"[^\w-]+")


def word(value: Any) -> str:
    """Return a value as a word: a whole number without its fraction, a missing one as empty."""
    if value is None or value != value:  # NaN
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip().casefold()


class Labels:
    """From a word to a label: 0, 1 or -1.

    Parameters
    ----------
    more
        Words beside `LABELS`, or instead of their meaning there, and `real`, `fake` or `unknown`.

    Raises
    ------
    InvalidOption
        For another meaning.
    """

    def __init__(self, more: Mapping[Any, Any]) -> None:
        self._labels = dict(LABELS)
        for theirs, meaning in _mapping("labels", more).items():
            if word(meaning) not in MEANINGS:
                raise InvalidOption(
                    f"labels gives {theirs!r} the meaning {meaning!r}; expected "
                    f"{', '.join(MEANINGS)}."
                )
            self._labels[word(theirs)] = MEANINGS[word(meaning)]

    def of(self, value: Any, *, where: str) -> int:
        """Return the label.

        Raises
        ------
        InvalidLabels
            For a word that is not known, with `where` it stands.
        """
        if word(value) not in self._labels:
            raise InvalidLabels(
                f"{where} has the label {value!r}, which is not known: {KNOWN}; say what it means "
                f"with the option labels={{{value!r}: fake}}."
            )
        return self._labels[word(value)]


class Splits:
    """From a word to a split: train, development or final.

    Parameters
    ----------
    more
        Words beside `SPLIT_WORDS`, and what they mean.

    Raises
    ------
    InvalidOption
        For a meaning that is no split.
    """

    def __init__(self, more: Mapping[Any, Any]) -> None:
        self._splits = dict(SPLIT_WORDS)
        for theirs, split in _mapping("splits", more).items():
            if split not in SPLITS:
                raise InvalidOption(
                    f"splits gives {theirs!r} the meaning {split!r}; expected {', '.join(SPLITS)}."
                )
            self._splits[word(theirs)] = split

    def knows(self, value: Any) -> bool:
        """Tell whether a word means a split."""
        return word(value) in self._splits

    def of(self, value: Any, *, where: str) -> str:
        """Return the split; empty for an empty word.

        Raises
        ------
        InvalidLabels
            For a word that is not known, with `where` it stands.
        """
        if not word(value):
            return ""
        if word(value) not in self._splits:
            raise InvalidLabels(
                f"{where} has the split {value!r}; known are {', '.join(self._splits)}; say what "
                f"it means with the option splits={{{value}: train}}."
            )
        return self._splits[word(value)]


def names(option: str, value: str | Sequence[str]) -> tuple[str, ...]:
    """Return the names that an option gives: one, or a list of them.

    Raises
    ------
    InvalidOption
        If it is neither.
    """
    given = [value] if isinstance(value, str | int) else value
    if not isinstance(given, Sequence) or not all(isinstance(g, str | int) for g in given):
        raise InvalidOption(f"{option} must be a name or a list of names, got {value!r}.")
    return tuple(str(g) for g in given)


def as_method(name: str) -> str:
    """Return a name in characters that a method and a dataset may have."""
    return _UNSAFE.sub("_", name).strip("_")


def _mapping(option: str, value: Any) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping):
        raise InvalidOption(f"{option} must map names to names, as {{a: b}}; got {value!r}.")
    return value

"""On what is compared: manifests enter, data sets leave, with the crops that each detector takes.

A manifest's data sets are told apart by its column `dataset`, or are one under a name that was
given. A data set that was cropped in several ways stands under one name several times, and each
detector takes the crops that were made like those of its training.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gendkit.data.manifest import Manifest
from gendkit.errors import InvalidArgument, InvalidManifest
from gendkit.train.record import digest, extraction

MADE = ("extractor", "threshold", "scale")
"""How crops are made; crops whose sizes differ are alike, as each detector resizes them."""
Where = str | Path | Manifest
Wheres = Where | Sequence[Where] | Mapping[str, Where | Sequence[Where]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """One manifest that is scored.

    Attributes
    ----------
    source
        Where it was read; empty if it came from memory.
    frames
        All its frames, with those without a face, but not those that were degraded.
    degraded
        How many rows were left out because they were degraded when the set was made.
    """

    source: str
    frames: Manifest
    degraded: int

    @cached_property
    def crops(self) -> Manifest:
        """The frames with a crop, whose labels are known."""
        crops = self.frames.faces()
        if not len(crops):
            where = self.source or "the manifest"
            raise InvalidManifest(f"{where} has no face crop that is not degraded already.")
        crops.labels()
        return crops

    @cached_property
    def digest(self) -> str:
        """Of the crops; see `gendkit.train.record.digest`."""
        return digest(self.crops)

    @property
    def made(self) -> dict[str, Any]:
        """How the crops were made, as far as is known."""
        return extraction(self.frames)


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """The rows of one manifest that are of one data set."""

    of: Source
    datasets: frozenset[str]

    @property
    def rows(self) -> NDArray[np.bool_]:
        """Which of the source's crops are of the data set (N,)."""
        return self._rows(self.of.crops.table)

    @property
    def frames(self) -> pd.DataFrame:
        """The rows of the data set, with frames without a face."""
        table = self.of.frames.table
        return table[self._rows(table)]

    def _rows(self, table: pd.DataFrame) -> NDArray[np.bool_]:
        return np.asarray(table["dataset"].isin(self.datasets), dtype=np.bool_)


@dataclass(frozen=True, kw_only=True, eq=False)
class DataSet:
    """A data set: its crops, or the same clips cropped in several ways."""

    name: str
    parts: tuple[Part, ...]

    @property
    def datasets(self) -> frozenset[str]:
        """The names that its rows have in the column `dataset`."""
        return frozenset().union(*(part.datasets for part in self.parts))

    def part_for(self, cropped: Mapping[str, Any], detector: str) -> Part:
        """Return the crops for a detector: of several, those made like the crops of its training.

        Raises
        ------
        InvalidArgument
            If there are several, and not one of them is.
        """
        if len(self.parts) == 1:
            return self.parts[0]
        fit = [part for part in self.parts if same_crops(part.of.made, cropped)]
        if len(fit) != 1:
            there = "; ".join(
                f"{part.of.source}: {crop_words(part.of.made)}" for part in self.parts
            )
            raise InvalidArgument(
                f"{len(fit)} of the {len(self.parts)} manifests of {self.name!r} were cropped like "
                f"the training data of {detector!r} ({crop_words(cropped)}), expected one; there "
                f"is {there}."
            )
        return fit[0]


def data_sets(given: Wheres) -> list[DataSet]:
    """Read manifests and tell data sets apart, in the order in which they were given.

    Parameters
    ----------
    given
        Manifests or their folders; or some of them by the name of a data set.

    Raises
    ------
    InvalidArgument
        If there is none, or two manifests without a name hold the same data set.
    InvalidManifest
        If one has no crop.
    InvalidLabels
        If a crop has no label.
    MissingMedia
        If there is no manifest.
    """
    found: dict[str, list[Part]] = {}
    named: dict[str, bool] = {}
    for name, one in _each(given):
        source = _source(one)
        there = list(dict.fromkeys(source.crops.table["dataset"]))
        parts = {name: there} if name else {str(d): [d] for d in there}
        for own, datasets in parts.items():
            if own in found and not (name and named[own]):
                raise InvalidArgument(
                    f"two manifests hold the data set {own!r}; name them apart, or both {own!r} if "
                    "they are the same clips cropped in two ways."
                )
            named[own] = bool(name)
            part = Part(of=source, datasets=frozenset(datasets))
            found.setdefault(own, []).append(part)
    if not found:
        raise InvalidArgument("there is no data to evaluate on; give one or more manifests.")
    return [DataSet(name=name, parts=tuple(parts)) for name, parts in found.items()]


def same_crops(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Tell whether two sets of crops are recorded to be made alike."""
    return "extractor" in one and all(one.get(key) == other.get(key) for key in MADE)


def crop_words(made: Mapping[str, Any]) -> str:
    """Return how crops were made in words, such as `centerface from 0.5, scale 1.3`."""
    if "extractor" not in made:
        return "not recorded"
    words = str(made["extractor"]) or "an unnamed extractor"
    if made.get("threshold") is not None:
        words += f" from {made['threshold']:g}"
    return f"{words}, scale {made['scale']:g}" if made.get("scale") is not None else words


def _each(given: Wheres) -> Iterator[tuple[str, Where]]:
    named = given.items() if isinstance(given, Mapping) else [("", given)]
    for name, some in named:
        if isinstance(some, str | Path | Manifest):
            yield name, some
        elif isinstance(some, Iterable):
            yield from ((name, one) for one in some)
        else:
            raise InvalidArgument(
                f"{type(some).__name__} is no manifest; give a Manifest or its folder."
            )


def _source(one: Where) -> Source:
    manifest = one if isinstance(one, Manifest) else Manifest.read(one)
    plain = (manifest.table["degradation"] == "").to_numpy()
    kept = manifest if plain.all() else manifest.where(plain)
    return Source(
        source=str(manifest.root) if isinstance(one, Manifest) else str(one),
        frames=kept,
        degraded=int((~plain).sum()),
    )

"""Who is compared: adapters enter, detectors leave, each with its seeds and what it has seen.

Adapters are seeds of one detector if all that is recorded of them is the same but the seed, or if
they were given one name. What is not recorded is never taken to be the same.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gendkit.device import Dtype
from gendkit.errors import InvalidArgument
from gendkit.model.adapter import FILE, Adapter
from gendkit.model.detector import Detector, load
from gendkit.model.gend import find_gend
from gendkit.train.record import record_beside, training_of

NO_SEED = -1
"""Of an adapter whose recipe is not recorded."""
One = str | Path | Adapter | Detector
Several = One | Sequence[One] | Mapping[str, One | Sequence[One]]


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One adapter, a seed of a detector.

    Attributes
    ----------
    name
        Of the detector.
    seed
        Of its training; `NO_SEED` if that is not recorded.
    source
        Where it was read; empty if it came from memory.
    adapter, dtype
        What it is, and the compute dtype of its encoder.
    detector
        If it is in memory already.
    trained_on, selected_on
        Names of the data sets on which it was trained, and of those that took part in a choice that
        was made for it; None if that is not recorded.
    """

    name: str
    seed: int
    source: str
    adapter: Adapter
    dtype: Dtype
    detector: Detector | None = None
    trained_on: frozenset[str] | None = None
    selected_on: frozenset[str] | None = None

    @property
    def cropped(self) -> Mapping[str, Any]:
        """How the crops of its training were made, as far as is known."""
        return self.adapter.header.extraction


def contenders(given: Several, *, dtype: Dtype | None = None) -> list[Contender]:
    """Read adapters and tell detectors apart, in the order in which they were given.

    Parameters
    ----------
    given
        Files or folders of runs, models that `gk.load` reads, `Adapter` or `Detector` values; or
        some of them by the name of a detector, whose seeds several of one name are.
    dtype
        Compute dtype of all encoders; by default that of each one's training.

    Raises
    ------
    InvalidArgument
        If there is none, two are of one detector and one seed, or those of one name differ in more
        than their seed.
    MissingMedia, InvalidAdapter
        If a file is none.
    UnreadableMedia
        If the record beside one is damaged.
    """
    read = [_read(one, name, dtype) for name, one in _each(given)]
    if not read:
        raise InvalidArgument("there is no detector to evaluate; give one or more adapters.")
    groups: dict[str, list[_Read]] = {}
    for one in read:
        groups.setdefault(one.group, []).append(one)
    names = _names(groups)
    found = []
    for group, members in groups.items():
        _check_alike(names[group], members)
        found += [replace(m.contender, name=names[group]) for m in members]
    return found


@dataclass(frozen=True, kw_only=True)
class _Read:
    """A contender, and what is recorded of its making but the seed."""

    contender: Contender
    given_name: str
    data: str | None
    made: Mapping[str, Any]

    @property
    def group(self) -> str:
        """Equal for the seeds of one detector."""
        if self.given_name:
            return f"name {self.given_name}"
        if self.data is None or self.contender.seed == NO_SEED:
            return f"adapter {self.contender.adapter.hash} {self.contender.dtype}"
        return json.dumps([self.made, self.data], sort_keys=True, default=str)


def _each(given: Several) -> Iterator[tuple[str, One]]:
    named = given.items() if isinstance(given, Mapping) else [("", given)]
    for name, some in named:
        if isinstance(some, str | Path | Adapter | Detector):
            yield name, some
        elif isinstance(some, Iterable):
            yield from ((name, one) for one in some)
        else:
            raise InvalidArgument(
                f"{type(some).__name__} is no detector; give an adapter's file or folder."
            )


def _read(one: One, name: str, dtype: Dtype | None) -> _Read:
    source, detector = "", None
    if isinstance(one, Detector):
        adapter, detector = one.adapter, one
        if dtype is not None and dtype != one.dtype:
            raise InvalidArgument(
                f"the detector computes in {one.dtype}, asked for is {dtype}; load it so."
            )
    elif isinstance(one, Adapter):
        adapter = one
    else:
        source = str(one)
        if find_gend(one) is None:
            adapter = Adapter.read(one)
        else:  # a whole model, whose adapter is only known with all of it in memory
            detector = load(one, dtype=dtype)
            adapter = detector.adapter
    header, record = adapter.header, record_beside(source, adapter.hash) if source else {}
    recipe = header.recipe
    data = record.get("data", {})
    by_recipe = recipe.get("selection", {}).get("datasets")
    by_run = data.get("validation", {}).get("datasets")
    known = by_recipe is not None or by_run is not None
    selected = frozenset({*(by_recipe or ()), *(by_run or ())}) if known else None
    trained = data.get("train", {}).get("datasets")
    chosen: Any = dtype or (header.dtype if detector is None else detector.dtype)
    return _Read(
        contender=Contender(
            name=str(recipe.get("name") or ""),
            seed=int(recipe.get("seed", NO_SEED)),
            source=source,
            adapter=adapter,
            dtype=chosen,
            detector=detector,
            trained_on=None if trained is None else frozenset(trained),
            selected_on=selected,
        ),
        given_name=name,
        data=data.get("train", {}).get("digest"),
        made={**training_of(header), "dtype": chosen},
    )


def _names(groups: Mapping[str, Sequence[_Read]]) -> dict[str, str]:
    """Name each detector: as given, by its recipe, else by where it lies, else by its hash."""
    first = {group: members[0] for group, members in groups.items()}
    names: dict[str, str] = {}
    for attempt in range(3):
        wanted = {group: _called(r, attempt) for group, r in first.items() if group not in names}
        counts = Counter([*names.values(), *wanted.values()])
        names |= {group: name for group, name in wanted.items() if name and counts[name] == 1}
    if left := [r for group, r in first.items() if group not in names]:
        raise InvalidArgument(
            f"two detectors would be called {left[0].contender.name or 'the same'!r}; give each a "
            "name of its own."
        )
    return {group: names[group] for group in groups}


def _called(read: _Read, attempt: int) -> str:
    """Return what to call a detector, first in short."""
    contender = read.contender
    if read.given_name or not attempt:
        return read.given_name or contender.name or _place(contender)
    return _both(contender.name, _place(contender) if attempt == 1 else contender.adapter.hash[:8])


def _both(recipe: str, other: str) -> str:
    return f"{recipe} ({other})" if recipe and other else recipe or other


def _place(contender: Contender) -> str:
    path = Path(contender.source)
    name = path.parent.name if path.name == FILE else path.stem if path.is_file() else path.name
    return name or contender.adapter.hash[:8]


def _check_alike(name: str, members: Sequence[_Read]) -> None:
    """Refuse seeds of one detector of which two are the same, or that differ in more."""
    seen: dict[int, Contender] = {}
    for member in members:
        now = member.contender
        if (before := seen.get(now.seed)) is not None:
            which = "no recorded seed" if now.seed == NO_SEED else f"the seed {now.seed}"
            raise InvalidArgument(
                f"two adapters of the detector {name!r} have {which}: {before.source or 'one'} and "
                f"{now.source or 'another'}; give each once, or a name of its own."
            )
        seen[now.seed] = now
    first = members[0]
    for other in members[1:]:
        apart = [key for key, value in first.made.items() if other.made[key] != value]
        if "recipe" in apart:
            own, others = first.made["recipe"], other.made["recipe"]
            fields = {*own, *others}
            apart = sorted(f for f in fields if f != "name" and own.get(f) != others.get(f))
        if None not in (first.data, other.data) and first.data != other.data:
            apart = [*apart, "training data"]
        if apart:
            raise InvalidArgument(
                f"adapters of one name, {name!r}, must differ in their seed alone; "
                f"{first.contender.source} and {other.contender.source} differ in "
                f"{', '.join(apart)}."
            )

"""Whether a run comes out the same when it is done once more: its record enters, differences leave.

The recipe is that of the record, the crops are checked by their digests before anything is trained,
and each number that the record holds is compared digit by digit.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from gendkit.data.manifest import Manifest
from gendkit.device import usable
from gendkit.errors import (
    InvalidArgument,
    InvalidManifest,
    InvalidReport,
    MissingMedia,
)
from gendkit.markup import DASH, card, grid, visible
from gendkit.model.adapter import FILE, UNKNOWN, Adapter
from gendkit.progress import Progress
from gendkit.train.engine import RUN, Run, fit
from gendkit.train.recipe import Recipe
from gendkit.train.record import describe, digest

COLUMNS = ("what", "recorded", "repeated", "digits")
COMPARED = ("adapter", "backbone", "chosen_epoch", "chosen_by", "tuned", "batches", "history")
"""What the record holds of a result; all else is what it rests on, or how long it took."""
NEEDED: MappingProxyType[str, type] = MappingProxyType(
    {
        "recipe": dict, "adapter": str, "data": dict, "history": list, "chosen_by": dict,
        "chosen_epoch": int,
    }
)  # fmt: skip
"""What each record of a run has, and of which type."""
TIMES = ("seconds",)
AROUND = ("device", "threads", "ranks", "compiled")
SURE = 17
"""Digits that tell any two numbers of double precision apart."""


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """A run beside its repetition.

    Attributes
    ----------
    differences
        One row a value that is not the same, to the last digit: `what` (such as
        ``history/1/loss``), `recorded`, `repeated`, and `digits`, how many significant digits agree
        (missing where it is no number).
    compared
        How many values were compared.
    around
        What else is not the same and may be why: versions, device, threads of the CPU, processes,
        compilation; `what`, `recorded`, `repeated`.
    run
        The repetition.
    """

    differences: pd.DataFrame
    compared: int
    around: pd.DataFrame
    run: Run

    @property
    def same(self) -> bool:
        """Whether all digits are."""
        return not len(self.differences)

    @property
    def verdict(self) -> str:
        """What came out, in a sentence."""
        if self.same:
            return f"all digits of {self.compared} values are the same"
        numbers = self.differences["digits"].dropna()
        few = f"; the worst agrees in {int(numbers.min())} digits" if len(numbers) else ""
        return f"{len(self.differences)} of {self.compared} values differ{few}"

    def __repr__(self) -> str:
        return f"Reproduction({self.verdict})"

    def _repr_html_(self) -> str:
        tables = [
            grid(list(table.columns), table.fillna(DASH).astype(str).to_numpy().tolist())
            for table in (self.differences, self.around)
            if len(table)
        ]
        return card("Reproduction", {"result": self.verdict}, *tables)

    def record(self) -> dict[str, Any]:
        """Return it as plain values for a JSON file."""
        return {
            "same": self.same,
            "compared": self.compared,
            "differences": json.loads(self.differences.to_json(orient="records")),
            "around": json.loads(self.around.to_json(orient="records")),
            "adapter": self.run.adapter.hash,
        }


def reproduce(
    run: str | Path,
    train: Manifest | str | Path,
    validation: Manifest | str | Path,
    *,
    out: str | Path | None = None,
    device: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Reproduction:
    """Train once more what a record says, and compare each number with it.

    Parameters
    ----------
    run
        The folder that `gk.fit` wrote.
    train, validation
        The crops of that run, or their folders: a record has their digests, not their places.
    out
        A new folder for the repetition; by default nothing is kept.
    device
        By default that of the record.
    overwrite
        Replace an earlier repetition at `out`.
    progress
        Told after each step; by default a progress bar.

    Raises
    ------
    MissingMedia, InvalidReport
        If there is no record, or it is none of a run.
    InvalidManifest
        If the crops are others than those of the run.
    InvalidArgument
        If the device of the record is not there, or `out` is the run itself.
    GendkitError
        As for `gk.fit`.
    """
    folder = Path(run)
    record = read_record(folder)
    if out is not None and Path(out).resolve() == folder.resolve():
        raise InvalidArgument(f"{out} is the run itself; give another folder for its repetition.")
    sets = {"train": _faces_of(train), "validation": _faces_of(validation)}
    for name, manifest in sets.items():
        _check_data(name, manifest, record)
    repeated = fit(
        Recipe.of(record["recipe"]), sets["train"], sets["validation"], out=out,
        device=usable(_device(record) if device is None else device), overwrite=overwrite,
        compile=bool(record.get("compiled", False)), progress=progress,
    )  # fmt: skip
    now = json.loads(json.dumps(repeated.record))  # as a file would hold it
    rows, compared = compare(record, now)
    beside, count = _beside(folder, record)
    return Reproduction(
        differences=pd.DataFrame([*beside, *rows], columns=list(COLUMNS)),
        compared=compared + count,
        around=pd.DataFrame(_around(record, now), columns=list(COLUMNS[:3])),
        run=repeated,
    )


def read_record(run: str | Path) -> dict[str, Any]:
    """Read the record in the folder of a run.

    Raises
    ------
    MissingMedia
        If there is none.
    InvalidReport
        If it is no record of a run.
    """
    path = Path(run)
    path = path / RUN if path.is_dir() else path
    if not path.is_file():
        raise MissingMedia(f"no record at {path}; `gendkit train` writes {RUN} beside an adapter.")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidReport(f"{path} is no record of a run: {error}.") from None
    there: dict[str, Any] = record if isinstance(record, dict) else {}
    if missing := [key for key, kind in NEEDED.items() if not isinstance(there.get(key), kind)]:
        raise InvalidReport(
            f"{path} is no record of a run: it has no {', '.join(missing)}; give the folder that "
            "`gendkit train` wrote."
        )
    return there


def compare(
    recorded: Mapping[str, Any], repeated: Mapping[str, Any]
) -> tuple[list[tuple[str, Any, Any, int | None]], int]:
    """Return what of two records' results differs, and how many values were compared."""
    one, two = (
        dict(_values({key: r[key] for key in COMPARED if key in r})) for r in (recorded, repeated)
    )
    names = list(dict.fromkeys([*one, *two]))
    rows = []
    for name in names:
        a, b = one.get(name), two.get(name)
        if not _equal(a, b):
            rows.append((name, _shown(a), _shown(b), agreeing_digits(a, b)))
    return rows, len(names)


def agreeing_digits(a: Any, b: Any) -> int | None:
    """Return how many significant digits of two numbers agree; None if one is no number.

    Numbers that round to the same n digits, but to no more, agree in n.
    """
    if any(isinstance(x, bool) or not isinstance(x, int | float) for x in (a, b)):
        return None
    if not (math.isfinite(a) and math.isfinite(b)):
        return 0
    digits = 0
    while digits < SURE and f"{a:.{digits}e}" == f"{b:.{digits}e}":
        digits += 1
    return digits


def _values(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield what a record holds, by its path in it; times are left out."""
    items: Any = ()
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    else:
        yield name, value
    for key, inner in items:
        if key not in TIMES:
            yield from _values(inner, f"{name}/{key}" if name else str(key))


def _equal(a: Any, b: Any) -> bool:
    missing = all(isinstance(x, float) and math.isnan(x) for x in (a, b))
    return missing or (type(a) is type(b) and a == b)


def _shown(value: Any) -> str:
    return DASH if value is None else visible(repr(value) if isinstance(value, float) else value)


def _beside(
    folder: Path, record: Mapping[str, Any]
) -> tuple[list[tuple[str, Any, Any, int | None]], int]:
    """Compare a record with the adapter that lies beside it: one of them may have been changed."""
    path = folder / FILE
    if not path.is_file():
        return [], 0
    adapter = Adapter.read(path)
    rows: list[tuple[str, Any, Any, int | None]] = []
    if adapter.hash != record["adapter"]:
        rows.append(("adapter (recorded, and of the file)", record["adapter"], adapter.hash, None))
    told = dict(_values(record["recipe"], "recipe"))
    kept = dict(_values(json.loads(json.dumps(dict(adapter.header.recipe))), "recipe"))
    names = list(dict.fromkeys([*told, *kept])) if kept else []
    for name in names:
        if not _equal(told.get(name), kept.get(name)):
            a, b = told.get(name), kept.get(name)
            rows.append((f"{name} (recorded, and of the file)", _shown(a), _shown(b), None))
    return rows, 1 + len(names)


def _around(recorded: Mapping[str, Any], repeated: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    were, are = (dict(r.get("versions", {})) for r in (recorded, repeated))
    were |= {name: recorded[name] for name in AROUND if name in recorded}
    are |= {name: repeated.get(name) for name in AROUND if name in recorded}
    return [
        (name, str(were.get(name, UNKNOWN)), str(are.get(name, UNKNOWN)))
        for name in dict.fromkeys([*were, *are])
        if were.get(name) != are.get(name)
    ]


def _device(record: Mapping[str, Any]) -> str | None:
    recorded = record.get("device")
    return None if recorded is None else str(recorded)


def _faces_of(source: Manifest | str | Path) -> Manifest:
    return (source if isinstance(source, Manifest) else Manifest.read(source)).faces()


def _check_data(name: str, manifest: Manifest, record: Mapping[str, Any]) -> None:
    """Refuse crops that are not those of the run; older records know samples and labels alone."""
    recorded, found = record["data"].get(name, {}), describe(manifest)
    for key, own in (("digest", found["digest"]), ("read", None)):
        if key not in recorded:
            continue
        own = digest(manifest) if own is None else own
        if recorded[key] != own:
            what = "samples and labels" if key == "digest" else "crops, or what is known of them,"
            counts = f"{recorded.get('crops', '?')} crops of {recorded.get('videos', '?')} clips"
            raise InvalidManifest(
                f"the {name} manifest is not that of the run: its {what} are others "
                f"({str(recorded[key])[:12]} recorded, {own[:12]} found; {counts} recorded, "
                f"{found['crops']} of {found['videos']} found); give the crops of the run."
            )

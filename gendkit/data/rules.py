"""What a manifest one can trust keeps to, a rule at a time; `gendkit.data.validation` tries them.

From a table of N rows, a rule's `broken` returns which rows break it (N,). Images are not opened.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gendkit.data.columns import SPLITS
from gendkit.data.links import CLIP, split_apart
from gendkit.data.manifest import Manifest, leaves
from gendkit.errors import InvalidManifest

Mask = NDArray[np.bool_]
Rows = pd.DataFrame

SIDES = {"box": 4, "landmarks": 10}
ONE_A_CLIP = (
    "label", "method", "family", "pair", "target_identity", "donor_identity", "split",
)  # fmt: skip
CLASSES = {0: "real", 1: "fake"}
NAMED = ("dataset", "video", "pair", "target_identity", "donor_identity", "method", "family")
"""Columns by whose values clips are told alike."""


def _always(table: Rows) -> bool:
    return True


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A rule about the rows of a table.

    Attributes
    ----------
    check, text
        Its name, and what it asks for in one line.
    broken
        From the table to the rows that break it.
    names
        Columns whose values, joined by `/`, name what breaks it; each is counted once.
    told
        From the table and the rows that break it to words about them, one after the other, instead
        of their names.
    severe
        Whether breaking it is an error, not a warning.
    applies
        Whether the table has what the rule is about.
    """

    check: str
    text: str
    broken: Callable[[Rows], Mask]
    names: tuple[str, ...] = ("sample",)
    told: Callable[[Rows, Mask], Iterator[str]] | None = None
    severe: bool = True
    applies: Callable[[Rows], bool] = _always


def rules_of(manifest: Manifest, *, split_key: str, ratio: float) -> tuple[Rule, ...]:
    """Return all rules about a manifest; see `gendkit.data.validation.validate`."""
    return (
        *_rows(), *_clips(), _links(split_key), _files(manifest), _balance(split_key, ratio)
    )  # fmt: skip


def _rows() -> Iterator[Rule]:
    """Yield the rules that a row keeps or breaks alone."""
    yield Rule(
        check="samples",
        text="each row has an id of its own",
        broken=lambda t: np.asarray((t["sample"] == "") | t["sample"].duplicated()),
    )
    yield Rule(
        check="names",
        text="each row names its data set and its clip",
        broken=lambda t: np.asarray((t["dataset"] == "") | (t["video"] == "")),
    )
    yield Rule(
        check="labels",
        text="a label is 0 (real), 1 (fake) or -1 (unknown)",
        broken=lambda t: np.asarray(~t["label"].isin([-1, 0, 1])),
    )
    yield Rule(
        check="splits",
        text=f"a split is {', '.join(SPLITS)} or empty",
        broken=lambda t: np.asarray(~t["split"].isin([*SPLITS, ""])),
        names=("split",),
    )
    yield Rule(
        check="reasons",
        text="a row has a crop, or the reason why it has none",
        broken=lambda t: np.asarray((t["path"] == "") == (t["reason"] == "")),
    )
    yield Rule(
        check="paths",
        text="a crop lies under the root and belongs to one row",
        broken=_stray_paths,
    )
    for name, length in SIDES.items():
        ordered = ", right of left and below top" if name == "box" else ""
        yield Rule(
            check=name,
            text=f"{name}: {length} finite numbers{ordered}, or nothing",
            broken=_not_numbers(name, length),
        )
    yield Rule(
        check="reals",
        text="what is real has no method, family or donor",
        broken=lambda t: np.asarray(
            (t["label"] == 0) & (t[["method", "family", "donor_identity"]] != "").any(axis=1)
        ),
    )
    yield Rule(
        check="fakes",
        text="what is fake names its method",
        broken=lambda t: np.asarray((t["label"] == 1) & (t["method"] == "")),
    )

    yield Rule(
        check="values",
        text="times are finite, confidences 0 to 1, and no name has a space at its ends",
        broken=_impossible,
    )


def _impossible(table: Rows) -> Mask:
    """Tell where a number cannot be, or where a name would silently not be that of another."""
    broken = np.isinf(table["time"].to_numpy())
    confidence = table["confidence"].to_numpy()
    broken |= ~np.isnan(confidence) & ~((confidence >= 0) & (confidence <= 1))
    for name in NAMED:
        stripped = table[name].astype(str).str.strip()
        broken |= (stripped != table[name].astype(str)).to_numpy()
    return np.asarray(broken)


def _clips() -> Iterator[Rule]:
    """Yield the rules about all rows of a clip."""
    yield Rule(
        check="clips",
        text=f"a clip has one {', '.join(ONE_A_CLIP)}",
        broken=_differing_within_a_clip,
        names=tuple(CLIP),
        told=_differences,
    )
    yield Rule(
        check="frames",
        text="each person in a frame of a clip has one row",
        broken=_shown_again,
        severe=False,
    )
    yield Rule(
        check="pairs",
        text="the clip that a pair names is there, and no fake",
        broken=_without_target,
        names=("dataset", "pair"),
        severe=False,
    )
    yield Rule(
        check="coverage",
        text="each clip has a frame with a face",
        broken=_faceless,
        names=tuple(CLIP),
        severe=False,
    )


def _stray_paths(table: Rows) -> Mask:
    paths = table["path"]
    away: Mask = np.array([bool(path) and leaves(path) for path in paths], dtype=bool)
    return np.asarray(away | ((paths != "") & paths.duplicated()).to_numpy(bool))


def _not_numbers(name: str, length: int) -> Callable[[Rows], Mask]:
    def wrong(value: object) -> bool:
        if value is None:
            return False
        try:
            numbers = np.asarray(value, dtype=float)
        except (TypeError, ValueError):
            return True
        if numbers.shape != (length,) or not np.isfinite(numbers).all():
            return True
        return name == "box" and bool((numbers[2:] <= numbers[:2]).any())

    return lambda table: np.array([wrong(value) for value in table[name]], dtype=bool)


def _keys(table: Rows, columns: list[str]) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(table[columns])


def _differing_within_a_clip(table: Rows) -> Mask:
    distinct = table[[*CLIP, *ONE_A_CLIP]].drop_duplicates()
    several = distinct[distinct.duplicated(CLIP)]
    return np.asarray(_keys(table, CLIP).isin(_keys(several, CLIP)))


def _differences(table: Rows, mask: Mask) -> Iterator[str]:
    for name, rows in table[mask].groupby(CLIP, sort=False):
        several = {c: sorted(map(str, rows[c].unique())) for c in ONE_A_CLIP}
        found = [f"{c} {' and '.join(v or 'none' for v in vs)}" for c, vs in several.items()
                 if len(vs) > 1]  # fmt: skip
        yield f"{'/'.join(map(str, name))}: {', '.join(found)}"


def _shown_again(table: Rows) -> Mask:
    again = table.duplicated([*CLIP, "degradation", "frame", "track"])
    return np.asarray(again & (table["frame"] >= 0) & (table["video"] != ""))


def _without_target(table: Rows) -> Mask:
    targets = table[table["label"] != 1]
    there = _keys(table, ["dataset", "pair"]).isin(_keys(targets[CLIP].drop_duplicates(), CLIP))
    return np.asarray((table["pair"] != "") & ~there)


def _faceless(table: Rows) -> Mask:
    has = _keys(table[table["path"] != ""].drop_duplicates(CLIP), CLIP)
    return np.asarray(~_keys(table, CLIP).isin(has))


def _links(split_key: str) -> Rule:
    def broken(table: Rows) -> Mask:
        return split_apart(table, by=split_key)[1] & (table[split_key] != "").to_numpy()

    def told(table: Rows, mask: Mask) -> Iterator[str]:
        rows = table.assign(component=split_apart(table, by=split_key)[0])[mask]
        for _, group in rows.groupby("component"):
            ends = group.drop_duplicates(split_key).head(2)
            named = [f"{r['dataset']}/{r['video']} ({r[split_key]})" for _, r in ends.iterrows()]
            yield " and ".join(named)

    return Rule(
        check="components",
        text=f"clips that share a target clip, a person or a donor are in one {split_key}",
        broken=broken,
        names=tuple(CLIP),
        told=told,
        applies=lambda table: len(set(table[split_key]) - {""}) > 1,
    )


def _files(manifest: Manifest) -> Rule:
    root, packed = os.fspath(manifest.root), manifest.packed

    def there(path: str) -> bool:
        if not path or packed is None:
            return not path or os.path.isfile(os.path.join(root, path))
        try:
            return packed.source_bytes(path) is not None
        except InvalidManifest:  # it was not packed
            return False

    return Rule(
        check="files",
        text="the file of each crop is there",
        broken=lambda table: ~np.array([there(path) for path in table["path"]], dtype=bool),
        names=("path",),
        applies=lambda table: bool((table["path"] != "").any()),
    )


def _balance(split_key: str, ratio: float) -> Rule:
    def counts(table: Rows) -> pd.DataFrame:
        faces = table[(table["path"] != "") & table["label"].isin(CLASSES)]
        return pd.crosstab(faces[split_key], faces["label"]).reindex(
            columns=list(CLASSES), fill_value=0
        )

    def broken(table: Rows) -> Mask:
        number = counts(table)
        uneven = number.index[number.max(axis=1) > ratio * number.min(axis=1)]
        return np.asarray(table[split_key].isin(uneven))

    def told(table: Rows, mask: Mask) -> Iterator[str]:
        for name, row in counts(table[mask]).iterrows():
            yield f"{name or f'no {split_key}'}: {row[0]:,} real, {row[1]:,} fake"

    return Rule(
        check="balance",
        text=f"of frames with a face, a {split_key} has at most {ratio:g} of one class to each "
        "of the other",
        broken=broken,
        names=(split_key,),
        told=told,
        severe=False,
        applies=lambda table: bool(((table["path"] != "") & table["label"].isin(CLASSES)).any()),
    )

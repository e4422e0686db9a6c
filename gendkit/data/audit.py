"""What two splits or data sets have in common, by which a result on one leaks into the other."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gendkit.data.duplicates import groups_of, read_hashes
from gendkit.data.manifest import Manifest
from gendkit.errors import InvalidManifest, MissingMedia, UnreadableMedia, first_line
from gendkit.progress import Progress, silent

By = Literal["split", "dataset"]
LEVELS = ("content", "near-duplicate", "video", "identity", "generator")
LEAKS = ("content", "video", "identity")
"""Of which training and test should share nothing; near-duplicates may be so by chance."""
TOOK_PART = {"training data": "train", "selection data": "validation"}
"""Levels of a run, and what its record calls them."""
NAMED = {"datasets": "dataset", "families": "family"}
SHOWN = 3
RECORD = "run.json"


def audit(
    manifest: Manifest,
    *,
    by: By = "split",
    images: bool = True,
    run: str | Path | None = None,
    progress: Progress = silent,
) -> pd.DataFrame:
    """Count what each two splits, or data sets, share.

    Identities are those of the manifest, never guessed from embeddings, which were made to tell
    fakes and not people. A real and its own fakes share a video's target: that is counted as
    `video`. Between training and test, `content` to `identity` should be 0; a shared `generator`
    says that the forgeries of one are of a kind that was seen in the other.

    Parameters
    ----------
    manifest
        With the split or data set of each crop; rows without one are left out.
    by
        What is compared.
    images
        Also read the crops, for `content` and `near-duplicate`.
    run
        Folder or adapter of a run: which data sets and families of each group took part in its
        training, and in the choice of its epoch, as far as its `run.json` says. A recipe or a
        threshold that people chose by looking at results is in no file.
    progress
        Told after each crop that was read.

    Returns
    -------
    pandas.DataFrame
        By `level` and the two groups `one` and `other`: how many values are `shared` (pairs of
        perceptual hashes for near-duplicates, of which at most 3 of 64 bits are different, and the
        crops not equal in content), and up to three `examples`. With `run` also the levels
        `training data` and `selection data` of each group, the `other` being `run`; what is not
        recorded is missing (NA), not 0.

    Raises
    ------
    InvalidManifest
        If there are not two groups, or, with `run`, not one.
    MissingMedia, UnreadableMedia
        If a crop is gone or damaged, or there is no such run.

    References
    ----------
    Krawetz, Looks Like It, 2011 (the perceptual hash "pHash").
    """
    table = manifest.table
    groups = groups_of(table, by)
    if len(groups) < (2 if run is None else 1):
        there = ", ".join(groups) or "none"
        raise InvalidManifest(f"two groups of {by} are needed for an audit; there is {there}.")
    took_part = {} if run is None else _took_part(Path(run))
    values = dict(_metadata(table))
    everything = np.concatenate(list(groups.values())).tolist()
    hashes = read_hashes(manifest, everything, progress=progress) if images else None
    sample = table["sample"].to_numpy()
    rows = []
    for one, other in combinations(sorted(groups), 2):
        for level in LEVELS:
            if level in values:
                found = _shared(values[level], groups[one], groups[other])
            elif hashes is None:
                continue
            elif level == "content":
                found = hashes.same(groups[one], groups[other])
            else:
                pairs = hashes.near(groups[one], groups[other])
                found = sorted(f"{sample[a]} ~ {sample[b]}" for a, b in pairs)
            rows.append(
                {
                    "level": level, "one": one, "other": other,
                    "shared": len(found), "examples": tuple(found[:SHOWN]),
                }
            )  # fmt: skip
    for group in sorted(groups):
        own = {
            f"{column} {value}"
            for column in NAMED.values()
            for value in table[column].iloc[groups[group]].unique()
        }
        for level, names in took_part.items():
            common = sorted(own & names) if names else []
            rows.append(
                {
                    "level": level, "one": group, "other": "run",
                    "shared": len(common) if names else None, "examples": tuple(common[:SHOWN]),
                }
            )  # fmt: skip
    counted = pd.DataFrame(rows).astype({"shared": "Int64"})
    return counted.set_index(["level", "one", "other"])


def _took_part(run: Path) -> dict[str, set[str]]:
    """Return for each level of a run which data sets and families took part; empty: not known."""
    if not run.exists():
        raise MissingMedia(f"no run at {run}; `gendkit train` writes one.")
    file = (run if run.is_dir() else run.parent) / RECORD
    try:
        record = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        roles = {level: record.get("data", {}).get(role, {}) for level, role in TOOK_PART.items()}
        return {
            level: {f"{column} {v}" for key, column in NAMED.items() for v in about.get(key, ())}
            for level, about in roles.items()
        }
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise UnreadableMedia(f"{file} is no record of a run: {first_line(error)}.") from None


Values = Mapping[int, frozenset[str]]


def _metadata(table: pd.DataFrame) -> Iterator[tuple[str, dict[int, frozenset[str]]]]:
    """Yield for each level of metadata which values each row has."""
    dataset = table["dataset"].astype(str)

    def named(*columns: str, within: bool) -> dict[int, frozenset[str]]:
        lists = zip(dataset, *(table[column] for column in columns), strict=True)
        return {
            row: frozenset(f"{of}/{value}" if within else value for value in values if value)
            for row, (of, *values) in enumerate(lists)
        }

    yield "video", named("video", "pair", within=True)
    yield "identity", named("target_identity", "donor_identity", within=True)
    yield "generator", named("method", within=False)


def _shared(values: Values, one: NDArray[np.int64], other: NDArray[np.int64]) -> list[str]:
    sets = [
        frozenset().union(*(values.get(row, frozenset()) for row in rows.tolist()))
        for rows in (one, other)
    ]
    return sorted(sets[0] & sets[1])

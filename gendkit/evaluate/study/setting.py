"""What a study is about: whose crops are learned from, and whose are scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gendkit.data.columns import SPLITS
from gendkit.data.manifest import Manifest
from gendkit.errors import InvalidArgument, InvalidManifest
from gendkit.evaluate.study.cells import Rows
from gendkit.train.recipe import Recipe

TRAIN, DEVELOPMENT, FINAL = SPLITS
SCORED = (DEVELOPMENT, FINAL)
UNNAMED = "fake"


@dataclass(frozen=True, kw_only=True, eq=False)
class Setting:
    """A manifest, a recipe, and the choices that all studies share.

    Attributes
    ----------
    manifest
        Rows with a crop, of the splits train, development and, if `on` is that, final.
    recipe
        Of what is trained; a study changes it from cell to cell.
    seeds
        Of the training, and of what a study draws.
    families
        Of forgeries that are learned from. A fake without a family counts by its method.
    left_out
        Families that are scored only.
    on
        The split that is scored.
    options
        Of one study, such as `clips`.
    """

    manifest: Manifest
    recipe: Recipe
    seeds: tuple[int, ...]
    families: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    on: str = DEVELOPMENT
    options: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def kind(self) -> NDArray[np.object_]:
        """(N,) the family of each row, of fakes without one the method; empty for reals."""
        return kinds(self.manifest.table)

    @property
    def asked(self) -> tuple[str, ...]:
        """All families that are scored, learned from or not."""
        return (*self.families, *self.left_out)

    @property
    def meant(self) -> Rows:
        """Over which of these a mean is: those left out, or all where none is."""
        return np.isin(self.asked, list(self.left_out or self.families))

    @cached_property
    def learned(self) -> Rows:
        """(N,) reals and fakes of `families` to learn from, none of them degraded."""
        return self._rows(TRAIN, self.families)

    @cached_property
    def scored(self) -> Rows:
        """(N,) reals and fakes of `families` and `left_out` to score, none of them degraded."""
        return self._rows(self.on, self.asked)

    @cached_property
    def validation(self) -> Rows:
        """(N,) what a run is shown at its end; nothing is chosen by it."""
        return self._rows(DEVELOPMENT, self.families)

    def _rows(self, split: str, families: Sequence[str]) -> Rows:
        table = self.manifest.table
        plain = ((table["split"] == split) & (table["degradation"] == "")).to_numpy()
        real = (table["label"] == 0).to_numpy()
        rows: Rows = plain & (real | np.isin(self.kind, list(families)) & ~real)
        return rows


def kinds(table: pd.DataFrame) -> NDArray[np.object_]:
    """Return the kind of forgery (N,) of each row: family, else method; empty for reals."""
    family, method = (table[name].to_numpy(dtype=object) for name in ("family", "method"))
    named = np.where(family != "", family, np.where(method != "", method, UNNAMED))
    return np.where(table["label"].to_numpy() == 1, named, "").astype(object)


def people_of(table: pd.DataFrame) -> NDArray[np.object_]:
    """Return who is seen in each row (N,); where this is not known, which clip it is made of."""
    pair = table["pair"].where(table["pair"] != "", table["video"])
    person = table["target_identity"].where(table["target_identity"] != "", "clip " + pair)
    return (table["dataset"] + "/" + person).to_numpy(dtype=object)


def setting_of(
    manifest: Manifest,
    recipe: Recipe,
    *,
    seeds: Sequence[int],
    families: Sequence[str] = (),
    left_out: Sequence[str] = (),
    on: str = DEVELOPMENT,
    options: Mapping[str, Any] | None = None,
) -> Setting:
    """Check what a study is asked, and return its setting.

    Parameters
    ----------
    families
        To learn from; by default all that the training split and the scored one have, but those
        left out.

    Raises
    ------
    InvalidArgument
        For another split, or without seeds.
    InvalidManifest
        If a split or a family has no crops, or one class has none; or if splits share people.
    InvalidLabels
        If a crop has no label.
    """
    if on not in SCORED:
        raise InvalidArgument(f"on is {on!r}; give {' or '.join(SCORED)}.")
    if isinstance(seeds, int):
        raise InvalidArgument(f"seeds is {seeds}; give a list of them, such as range({seeds}).")
    if not seeds or len(set(seeds)) < len(seeds):
        raise InvalidArgument(f"the seeds are {list(seeds)}; give different ones, at least one.")
    faces = manifest.faces()
    if not len(faces):
        raise InvalidManifest("the manifest has no face crop to study.")
    faces.labels()
    chosen_rows = faces.where(faces.table["split"].isin({TRAIN, DEVELOPMENT, on}))
    faces = replace(chosen_rows, meta=faces.meta)  # coverage is that of the whole manifest
    scored = families_in(faces, on)
    both = [name for name in families_in(faces, TRAIN) if name in scored]
    chosen = _known(families or [f for f in both if f not in left_out], both, f"{TRAIN} and {on}")
    apart = _known(left_out, scored, on)
    if apart and not chosen:
        raise InvalidArgument(
            f"all families are left out ({', '.join(apart)}), and none is left to learn from."
        )
    if twice := [name for name in apart if name in chosen]:
        raise InvalidArgument(f"family {twice[0]!r} is both learned from and left out.")
    setting = Setting(
        manifest=faces, recipe=recipe, seeds=tuple(seeds), families=tuple(chosen),
        left_out=tuple(apart), on=on, options=dict(options or {}),
    )  # fmt: skip
    for name, rows in (
        (TRAIN, setting.learned), (on, setting.scored), (DEVELOPMENT, setting.validation),
    ):  # fmt: skip
        if len(set(faces.table["label"][rows].tolist())) < 2:
            raise InvalidManifest(
                f"the split {name!r} has not both real and fake crops that are not degraded; a "
                "study needs the splits train, development and the one that is scored, which the "
                "data set gives (photos and synthetic do) or the column `split` says."
            )
    used = setting.learned | setting.scored | setting.validation
    faces.where(used).check_no_leak()
    return setting


def families_in(manifest: Manifest, split: str) -> tuple[str, ...]:
    """Return the families of a split's plain fakes, in order of appearance."""
    table = manifest.table
    rows = ((table["split"] == split) & (table["degradation"] == "")).to_numpy()
    return tuple(str(name) for name in dict.fromkeys(kinds(table[rows]).tolist()) if name)


def _known(names: Sequence[str], there: Sequence[str], split: str) -> list[str]:
    if unknown := [name for name in names if name not in there]:
        known = ", ".join(there) or "none"
        raise InvalidManifest(
            f"{split} crops of the family {unknown[0]!r} are missing; there is {known}."
        )
    return list(dict.fromkeys(names))

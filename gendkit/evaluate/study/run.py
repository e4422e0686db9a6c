"""Runs a study: its cells are computed under a folder, and what they say is written there.

The same command again goes on where the last one was stopped, or, when all is there, only says it
anew. What a folder holds is told by its marker `study.json`.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from filelock import FileLock
from zarr.errors import ZarrUserWarning

from gendkit.data.manifest import COVERAGE, Manifest
from gendkit.errors import InvalidReport, MissingMedia, OutputExists, UnwritableOutput
from gendkit.evaluate.final import final_of, log_final
from gendkit.evaluate.study.cells import CELLS, FEATURES, LATER, Cells
from gendkit.evaluate.study.setting import DEVELOPMENT, FINAL, Setting, setting_of
from gendkit.evaluate.study.study import Study
from gendkit.output import new_folder, part_of, write_whole
from gendkit.plugin.manager import plugins
from gendkit.progress import Progress
from gendkit.train.recipe import Recipe
from gendkit.train.record import describe, digest, extraction, versions

MARKER, RESULT, LOCK = "study.json", "result.zarr", ".result.lock"
GROWS = "seeds"
"""The one thing that a later command may add to."""


def run_study(
    study: Study,
    manifest: Manifest | str | Path,
    *,
    out: str | Path,
    recipe: str | Path | Recipe = "small-data",
    changes: Mapping[str, Any] | None = None,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    families: Sequence[str] = (),
    left_out: Sequence[str] = (),
    on: str = DEVELOPMENT,
    options: Mapping[str, Any] | None = None,
    device: str | None = None,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Run a study, or go on with it, and return its result.

    Parameters
    ----------
    study
        Which.
    manifest
        Labelled crops with the splits train, development and what is scored.
    out
        A new folder, or that of the same study. It gets `result.zarr` and `study.json`.
    recipe, changes
        Of what is trained, and fields of it that are changed; they go before what the study itself
        changes.
    seeds
        Of training and of what is drawn; a later command may add some.
    families, left_out
        Of forgeries: learned from (by default all), and scored only.
    on
        The split that is scored. Each time that the final one is, is logged; going on with a study
        that was stopped is the same time.
    options
        Of this study.
    device
        Such as `cuda`; by default the best there is.
    progress
        Told after each cell; by default a progress bar.

    Raises
    ------
    OutputExists
        If `out` holds something else, or another study.
    InvalidArgument, InvalidManifest, InvalidLabels, InvalidRecipe
        If it cannot be done with this.
    """
    manifest = manifest if isinstance(manifest, Manifest) else Manifest.read(manifest)
    given = study.with_options(options or {})
    used = study.recipe(recipe, changes or {})
    setting = setting_of(
        manifest, used, seeds=seeds, families=families, left_out=left_out, on=on, options=given
    )
    out = Path(out)
    command = _command(study, setting)
    _check(out, command)
    scored = study.scored(setting)
    place = Cells(
        setting.manifest, scored=scored, validation=setting.validation, out=out, device=device
    )
    asked = study.cells(setting)
    out.mkdir(parents=True, exist_ok=True)
    with FileLock(out / LOCK):
        facts = _begun(out, command, setting, missing=place.missing(asked))
    margins = place.run(asked, progress=progress)
    ds = study.analyse(margins, setting)
    splits = setting.manifest.table["split"].to_numpy()
    facts |= {
        "finished": True,
        "cells": len({place.key(cell) for cell in asked}),
        "learned": describe(setting.manifest.where(setting.learned)),
        "scored": describe(setting.manifest.where(scored & (splits == on))),
        "coverage": setting.manifest.meta.get(COVERAGE),
        "crops": extraction(setting.manifest),
        "preprocessing": _preprocessing(used),
        "versions": versions(),
        "cells_with": place.made_with(asked),
    }
    ds = ds.assign_attrs(
        study=study.name,
        title=study.title,
        question=study.question,
        learns=study.learns,
        about=json.dumps(facts),
    )
    words = study.says(ds)
    ds = ds.assign_attrs(
        answer=words.answer, shows=json.dumps(words.shows), not_shown=json.dumps(words.not_shown)
    )
    with FileLock(out / LOCK):
        write_result(ds, out / RESULT)
        _mark(out, {**facts, "answer": words.answer})
    return open_study(out)


def write_result(ds: xr.Dataset, path: Path) -> None:
    """Write a result as a zarr store that `xarray.open_zarr` opens, in the place of an earlier one.

    Raises
    ------
    UnwritableOutput
        If it cannot be written.
    """
    texts = {
        name: variable.astype(object)
        for name, variable in ds.variables.items()
        if variable.dtype.kind in "UT"
    }
    ds = ds.assign_coords({n: v for n, v in texts.items() if n in ds.coords}).drop_encoding()
    with new_folder(path, overwrite=True, marker="zarr.json") as folder, warnings.catch_warnings():
        # Consolidated, as xarray else warns whoever opens it; that no other zarr need know this is
        # of no harm, since the metadata is in its own places too.
        warnings.simplefilter("ignore", ZarrUserWarning)
        ds.to_zarr(folder, mode="w", zarr_format=3, consolidated=True)


def open_study(path: str | Path) -> xr.Dataset:
    """Read the result of a study.

    Parameters
    ----------
    path
        The study's folder, or its `result.zarr`.

    Raises
    ------
    MissingMedia
        If there is none, or it is not finished.
    InvalidReport
        If it is no result of a study.
    """
    path = Path(path)
    store = path if path.name == RESULT else path / RESULT
    if not store.is_dir():
        raise MissingMedia(f"no result of a study at {store}; `gendkit study` writes it.")
    try:
        ds = xr.open_zarr(store, consolidated=False, chunks=None, zarr_format=3).load()
    except Exception as error:  # zarr and its codecs raise many kinds
        raise InvalidReport(f"{store} is no readable zarr store: {error}") from None
    if missing := [n for n in ("study", "about", "answer", "shows") if n not in ds.attrs]:
        raise InvalidReport(f"{store} has no {', '.join(missing)}; it is no result of a study.")
    texts = {n: v.astype(object) for n, v in ds.coords.items() if v.dtype.kind in "UT"}
    made: xr.Dataset = ds.assign_coords(texts)
    return made


def _command(study: Study, setting: Setting) -> dict[str, Any]:
    """Return what makes a study the same, and its seeds."""
    return {
        "study": study.name,
        "recipe": setting.recipe.model_dump(mode="json"),
        "on": setting.on,
        "data": digest(setting.manifest),
        "families": list(setting.families),
        "left_out": list(setting.left_out),
        "options": json.loads(json.dumps(dict(setting.options))),
        GROWS: list(setting.seeds),
    }


def _begun(
    out: Path, command: Mapping[str, Any], setting: Setting, *, missing: int
) -> dict[str, Any]:
    """Mark a folder as that of a study, and log a look at the final split; return what it says."""
    earlier = _check(out, command)
    finals = int(earlier.get("final_evaluations", 0))
    # Going on with what was stopped, or helping with it, is the same look.
    begun = earlier.get("finished") is False and earlier[GROWS] == command[GROWS]
    looked = finals and (begun or not missing)
    # Whatever a study scores of the split, it is the same split that was looked at.
    final = final_of(setting.manifest)
    if setting.on == FINAL and final is not None and not looked:
        finals = log_final(final, study=command["study"], out=str(out))
    facts = {**command, "final_evaluations": finals, "finished": False}
    _mark(out, facts)
    return facts


def _check(out: Path, command: Mapping[str, Any]) -> dict[str, Any]:
    """Refuse a folder of something else; return what its marker says."""
    if out.exists() and not out.is_dir():
        raise OutputExists(f"{out} is a file; give a folder.")
    if not out.is_dir():
        return {}
    marker = out / MARKER
    if not marker.is_file():
        own = (CELLS, FEATURES, LOCK, part_of(marker).name)  # of one that begins, or was killed
        if others := [p.name for p in out.iterdir() if p.name not in own]:
            raise OutputExists(f"{out} holds {others[0]} and is no study; give a new folder.")
        return {}
    try:
        earlier: dict[str, Any] = json.loads(marker.read_text(encoding="utf-8"))
    except ValueError:
        raise OutputExists(f"{marker} is damaged; give a new folder.") from None
    for name, now in command.items():
        was = earlier.get(name)
        if name == "recipe" and isinstance(was, dict):
            was = {**dict(LATER), **was}
        if name == GROWS:
            if lost := [seed for seed in was or () if seed not in now]:
                raise OutputExists(
                    f"the study in {out} has the seeds {_short(was)}, and {_short(lost)} would be "
                    "lost; ask for these and more, or give a new folder."
                )
        elif was != now:
            raise OutputExists(f"the study in {out} {_differs(name, was, now)}; give a new folder.")
    return earlier


def _differs(name: str, was: Any, now: Any) -> str:
    if name == "data":
        return "is of other crops, or they have changed"
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        inner = next(k for k in [*was, *now] if was.get(k) != now.get(k))
        return f"has {name} {inner} {_short(was.get(inner))}, not {_short(now.get(inner))}"
    return f"has {name} {_short(was)}, not {_short(now)}"


def _short(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return (text or "none") if len(text) <= 60 else f"{text[:57]}..."


def _mark(out: Path, facts: Mapping[str, Any]) -> None:
    try:
        write_whole(out / MARKER, json.dumps(facts, indent=1).encode())
    except OSError as error:
        raise UnwritableOutput(
            f"{out / MARKER} cannot be written: {error.strerror or error}; make room."
        ) from None


def _preprocessing(recipe: Recipe) -> dict[str, Any]:
    spec = plugins().spec("backbone", recipe.backbone)
    take = spec.preprocessing.at(recipe.image_size or spec.image_size)
    return {
        "backbone": spec.name, "size": take.size, "resize": take.resize,
        "interpolation": take.interpolation, "mean": np.asarray(take.mean).tolist(),
        "std": np.asarray(take.std).tolist(), "dtype": recipe.dtype,
    }  # fmt: skip

"""Subsets of a manifest for comparisons: fakes with or without their own reals, and fewer frames.

A manifest and a seed enter, a manifest leaves, whose `meta` says what was done and how many
distinct clips, source videos and people it has. What is drawn depends on names and the seed alone:
not on the order of rows. A larger `paired`, with as many fakes of each, keeps what a smaller one
has, and so does `k_frames`; the reals of `unpaired` change, since more of them become sources.

`paired` and `unpaired` of one seed and size have the same fakes, the same number of real clips, and
as many people in each class. They differ only in whether a real is what a fake was made of.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from gendkit.data.links import CLIP
from gendkit.data.manifest import FILE, SUFFIX, Manifest
from gendkit.data.png import encode_png
from gendkit.data.stacked import StackedCrops, write_into
from gendkit.errors import InvalidArgument, OutputExists
from gendkit.output import check_new_file, new_folder

MADE_BY = "gendkit manifest subset"
META = "subsets"
Fewer = Literal["refuse", "keep", "drop"]
_CLASSES = {"real": 0, "fake": 1}


def paired(manifest: Manifest, *, clips: int, fakes: int = 1, seed: int = 0) -> Manifest:
    """Return real clips, and of each the fakes that were made of it.

    Parameters
    ----------
    manifest
        Clips that were degraded, or have no face, are left out; so are fakes without a `pair`.
    clips
        How many real clips.
    fakes
        How many fakes of each; methods are drawn evenly.
    seed
        Of the draw.

    Raises
    ------
    InvalidArgument
        If there are not as many; with the largest number that there is.
    """
    pool = _pool(manifest, clips=clips, fakes=fakes, seed=seed)
    if len(pool.sources) < clips:
        raise InvalidArgument(
            f"{clips} real clips with {fakes} fakes each were asked for; the largest number of "
            f"clips is {len(pool.sources)} here (degraded clips and those without a face do not "
            "count)."
        )
    own = pool.sources.head(clips)
    return _subset(manifest, own, pool.fakes(clips, fakes), kind="paired",
                   clips=clips, fakes=fakes, seed=seed)  # fmt: skip


def unpaired(manifest: Manifest, *, clips: int, fakes: int = 1, seed: int = 0) -> Manifest:
    """Return the fakes of `paired` with as many other real clips, of which none of them was made.

    The reals show as many people as the fakes. They are other clips, and may show the same people
    where these have several.

    Parameters
    ----------
    manifest, clips, fakes, seed
        See `paired`.

    Raises
    ------
    InvalidArgument
        If there are not as many; with the largest number that there is.
    """
    pool = _pool(manifest, clips=clips, fakes=fakes, seed=seed)
    others = pool.others(clips)
    if others is None:
        fewer = range(min(clips - 1, len(pool.sources), len(pool.reals) // 2), 0, -1)
        most = next((n for n in fewer if pool.others(n) is not None), 0)
        raise InvalidArgument(
            f"{clips} sources with {fakes} fakes each and {clips} other real clips of as many "
            f"people were asked for; the largest number of clips is {most} here (degraded clips "
            "and those without a face do not count)."
        )
    return _subset(manifest, others, pool.fakes(clips, fakes), kind="unpaired",
                   clips=clips, fakes=fakes, seed=seed)  # fmt: skip


def k_frames(manifest: Manifest, k: int, *, seed: int = 0, fewer: Fewer = "refuse") -> Manifest:
    """Return k frames with a face of each clip that has any, drawn at random.

    Of a frame with several people all are taken. The frames of a smaller k are among those of a
    larger one.

    Parameters
    ----------
    fewer
        What becomes of a clip with fewer frames: `refuse` is an error, `keep` takes all that it
        has, `drop` leaves it out.

    Raises
    ------
    InvalidArgument
        For a k below 1 or another word than these; with `refuse`, with the largest k that each clip
        has; with `drop`, if none is left.
    """
    if k < 1:
        raise InvalidArgument(f"{k} frames of a clip were asked for; give at least 1.")
    if fewer not in get_args(Fewer):
        raise InvalidArgument(f"fewer is {fewer!r}; expected {', '.join(get_args(Fewer))}.")
    faces = manifest.faces()
    table = faces.table
    frames = table[[*CLIP, "frame"]].drop_duplicates()
    count = frames.groupby(CLIP)["frame"].transform("size").to_numpy()
    if len(frames) and count.max() < k and fewer == "drop":
        raise InvalidArgument(
            f"no clip has {k} frames with a face, so that none would be left; the largest number "
            f"that one has is {count.max()}."
        )
    if len(frames) and count.min() < k and fewer == "refuse":
        few = int((frames.assign(n=count).drop_duplicates(CLIP)["n"] < k).sum())
        raise InvalidArgument(
            f"{few} clips have fewer than {k} frames with a face; the largest number that each has "
            f"is {count.min()}. Take that, or keep or drop such clips (fewer='keep' or 'drop')."
        )
    if fewer == "drop":
        frames = frames[count >= k]
    order = frames.assign(key=[_key(seed, *row) for row in frames.itertuples(index=False)])
    chosen = order.sort_values("key").groupby(CLIP, sort=False).head(k)
    columns = [*CLIP, "frame"]
    mask = pd.MultiIndex.from_frame(table[columns]).isin(pd.MultiIndex.from_frame(chosen[columns]))
    done = {"kind": "frames", "frames": k, "seed": seed, "fewer": fewer}
    return _recorded(faces.where(mask), done)


def distinct(manifest: Manifest) -> pd.DataFrame:
    """Return what a manifest rests on, by class and in `both`: frames, clips, sources, people.

    A row each for `real`, `fake` and `both`, the last of what is the same in the two classes;
    `frames` are rows with a crop, `sources` the target clips, `people` who is seen, as far as it is
    known (else each source is somebody else).
    """
    table = _named(manifest.faces().table)
    of = {name: table[table["label"] == label] for name, label in _CLASSES.items()}
    columns = {"clips": "clip", "sources": "source", "people": "person", "methods": "method"}
    sets = {name: {c: set(rows[key]) - {""} for c, key in columns.items()}
            for name, rows in of.items()}  # fmt: skip
    sets["both"] = {c: sets["real"][c] & sets["fake"][c] for c in columns}
    frames = {**{name: len(rows) for name, rows in of.items()}, "both": 0}
    rows = [{"class": name, "frames": frames[name], **{c: len(v) for c, v in found.items()}}
            for name, found in sets.items()]  # fmt: skip
    return pd.DataFrame(rows).set_index("class")


def write_subset(manifest: Manifest, out: str | Path, *, overwrite: bool = False) -> Manifest:
    """Write a subset so that its paths still lead to its crops, and return it as it is read.

    Parameters
    ----------
    out
        A file such as `paired.parquet` in the folder of the crops: only the manifest is written,
        and it goes when the folder does. Or a new folder: the crops are hard links where the file
        system has them, which take no room, and copies elsewhere; those in a zarr array are copied.
    overwrite
        Replace an earlier subset.

    Raises
    ------
    InvalidArgument
        If a file lies elsewhere, or would replace the manifest itself.
    OutputExists, UnwritableOutput
        If something is there, or nothing can be written.
    MissingMedia, UnreadableMedia
        If a crop is gone or damaged.
    """
    out = Path(out)
    if out.suffix == SUFFIX:
        beside = out.resolve().parent == Path(manifest.root).resolve()
        if not beside or out.name == FILE:
            wrong = "would replace the manifest itself" if beside else "is not beside the crops"
            raise InvalidArgument(
                f"{out} {wrong}; give a name other than {FILE} in {manifest.root}, from where "
                "paths lead to the crops, or a new folder."
            )
        check_new_file(out, overwrite=overwrite)
        manifest.write(out)
        return Manifest.read(out)
    folder = new_folder(out, overwrite=overwrite, marker=FILE)
    if (out / FILE).is_file() and Manifest.read(out).meta.get("made_by") != MADE_BY:
        raise OutputExists(f"{out} was not made by {MADE_BY} and is not replaced.")
    made = replace(manifest, meta={**manifest.meta, "made_by": MADE_BY})
    with folder as part:
        if isinstance(manifest.packed, StackedCrops):
            write_into(made, part)
        else:
            for row, path in enumerate(manifest.table["path"]):
                if path:
                    _place(manifest, row, part / path)
            replace(made, packed=None).write(part)
    return Manifest.read(out)


@dataclass(frozen=True, kw_only=True)
class _Pool:
    """What can be drawn, a row a clip: reals with enough fakes, in order, all reals, all fakes."""

    sources: pd.DataFrame
    reals: pd.DataFrame
    made: pd.DataFrame
    seed: int

    def fakes(self, clips: int, each: int) -> pd.DataFrame:
        """Return the fakes of so many sources."""
        return _evenly(self.made, self.sources["source"].head(clips), each)

    def others(self, clips: int) -> pd.DataFrame | None:
        """Return as many reals as sources, of as many people, that are none; None if none."""
        own = self.sources.head(clips)
        pool = self.reals[~self.reals["source"].isin(own["source"])]
        people = own["person"].nunique()
        room = pool["person"].value_counts()
        if len(own) < clips or len(room) < people or room.nlargest(people).sum() < clips:
            return None
        order = sorted(room.index, key=lambda person: _key(self.seed, person))
        chosen, left = order[:people], order[people:]
        left.sort(key=lambda person: -room[person])
        while room[chosen].sum() < clips:  # a person with few clips gives way to one with many
            chosen[chosen.index(min(chosen, key=lambda person: room[person]))] = left.pop(0)
        mine = pool[pool["person"].isin(chosen)].sort_values("key")
        first = mine.drop_duplicates("person")
        rest = mine[~mine["clip"].isin(first["clip"])]
        return pd.concat([first, rest]).head(clips)


def _pool(manifest: Manifest, *, clips: int, fakes: int, seed: int) -> _Pool:
    if clips < 1 or fakes < 1:
        raise InvalidArgument(f"{clips} clips with {fakes} fakes each; give at least 1 of both.")
    table = manifest.faces().table
    every = _named(table[table["degradation"] == ""].drop_duplicates(CLIP))
    every = every.assign(key=[_key(seed, clip) for clip in every["clip"]])
    reals = every[every["label"] == 0].assign(
        other=lambda t: (t["video"] != t["pair"]) & (t["pair"] != "")
    )
    # Of several reals of one source, it is the one that the pair names.
    reals = reals.sort_values(["other", "key"]).drop_duplicates("source")
    made = every[(every["label"] == 1) & (every["pair"] != "")]
    enough = reals["source"].map(made["source"].value_counts()).fillna(0) >= fakes
    sources = reals[enough].sort_values("key")
    return _Pool(sources=sources, reals=reals, made=made, seed=seed)


def _evenly(made: pd.DataFrame, sources: pd.Series[str], each: int) -> pd.DataFrame:
    """Return so many fakes of each source, methods as evenly as there are."""
    taken: Counter[str] = Counter()
    groups = {str(source): rows for source, rows in made.groupby("source")}
    rows: list[Any] = []
    for source in sources:
        left = {row: (method, key) for row, method, key
                in groups[source][["method", "key"]].itertuples()}  # fmt: skip
        for _ in range(each):
            row = min(left, key=lambda r: (taken[left[r][0]], left[r][1]))
            taken[left.pop(row)[0]] += 1
            rows.append(row)
    return made.loc[rows]


def _named(table: pd.DataFrame) -> pd.DataFrame:
    """Add what names a row's clip, its source and its person among all data sets."""
    of = table["dataset"].astype(str) + "/"
    source = of + table["pair"].where(table["pair"] != "", table["video"])
    person = source.where(table["target_identity"] == "", of + "person " + table["target_identity"])
    return table.assign(clip=of + table["video"], source=source, person=person)


def _subset(manifest: Manifest, *parts: pd.DataFrame, **done: Any) -> Manifest:
    chosen = pd.MultiIndex.from_frame(pd.concat(parts)[CLIP])
    mask = pd.MultiIndex.from_frame(manifest.table[CLIP]).isin(chosen)
    return _recorded(manifest.where(np.asarray(mask)), done)


def _recorded(manifest: Manifest, done: dict[str, Any]) -> Manifest:
    counts = {str(name): {str(k): int(v) for k, v in row.items()}
              for name, row in distinct(manifest).iterrows()}  # fmt: skip
    earlier = list(manifest.meta.get(META, ()))
    return replace(manifest, meta={**manifest.meta, META: [*earlier, {**done, "distinct": counts}]})


def _key(seed: int, *names: object) -> str:
    """Return a random-looking key that depends on names and seed alone."""
    return hashlib.sha256("\0".join(map(str, (seed, *names))).encode()).hexdigest()


def _place(manifest: Manifest, row: int, path: Path) -> None:
    """Bring a crop to another place: as a link, as a copy, or out of the pack."""
    path.parent.mkdir(parents=True, exist_ok=True)
    source = Path(manifest.root) / manifest.table["path"].iloc[row]
    if not source.is_file():
        path.write_bytes(encode_png(manifest.crop(row)))
        return
    try:
        os.link(source, path)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, path)

"""The contact sheet: a manifest enters, one page of its crops for the eye leaves.

Each clip is a row of small crops in order of time; a frame without a face is a grey tile with the
reason. However large the manifest is, the page shows so many clips and so many frames of each, and
says what it leaves out. Equal input gives equal bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gendkit.data.pixels import thumbnail
from gendkit.errors import InvalidArgument, InvalidManifest, MissingMedia, UnreadableMedia
from gendkit.markup import Html, Node, join, number, tag
from gendkit.output import check_new_file, write_whole
from gendkit.pages.page import (
    facts,
    note,
    page,
    picture,
    prose,
    section,
    table,
    tile,
    tiles,
)

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from gendkit.data.manifest import Manifest

SIZE = 72
"""Side of a crop on the page in CSS pixels; twice as many are kept."""
REASONS, LONGEST, TILE = 10, 160, 60
"""How many reasons are listed, and the most characters of a text, and of one in a tile."""
CLIP = ["dataset", "video"]
KINDS = {0: "real", 1: "fake", -1: "unlabelled"}
TITLES = {0: "Real clips", 1: "Fakes", -1: "Clips without a label"}
SETTINGS = {
    "extractor": "Face extractor",
    "threshold": "Its threshold",
    "order": "Frames are looked at",
    "frames": "Faces sought in a clip",
    "which": "Faces of a frame",
    "scale": "Scale of a crop",
    "size": "Side of a crop",
    "seed": "Seed of the order",
    "gendkit": "gendkit",
}


def contact_sheet(
    manifest: Manifest,
    out: str | Path,
    *,
    clips: int = 40,
    crops: int = 16,
    seed: int = 0,
    overwrite: bool = False,
) -> Path:
    """Write a page that shows the crops of a manifest, clip by clip, for the eye.

    Parameters
    ----------
    manifest
        Of crops.
    out
        The HTML file to write; it needs nothing from outside itself.
    clips
        At most so many are shown. If there are more, they are drawn from all datasets and methods
        in turn.
    crops
        At most so many frames of a clip are shown, evenly spread over those in the manifest.
    seed
        Of the draw.
    overwrite
        Replace the file if there is one.

    Returns
    -------
    The path of the file.

    Raises
    ------
    InvalidArgument
        If `clips` or `crops` is not positive.
    InvalidManifest
        If the manifest has no row.
    OutputExists, UnwritableOutput
        If the file may not be written.
    """
    if clips < 1 or crops < 1:
        raise InvalidArgument(f"clips and crops are 1 or more, got {clips} and {crops}.")
    if not len(manifest):
        raise InvalidManifest(f"the manifest in {manifest.root} has no row; there is none to show.")
    out = Path(out)
    check_new_file(out, overwrite=overwrite)
    write_whole(out, _page(manifest, clips=clips, crops=crops, seed=seed).encode())
    return out


@dataclass(frozen=True, kw_only=True)
class _Clip:
    """A clip: what is known of it, its rows in order of time, its crops, frames, and those seen."""

    label: int
    dataset: str
    method: str
    video: str
    rows: NDArray[np.int64]
    crops: int
    frames: int
    seen: int


def _page(manifest: Manifest, *, clips: int, crops: int, seed: int) -> str:
    every = _clips(manifest.table)
    shown = _drawn(every, clips, seed=seed)
    parts = [("coverage", "Coverage", _coverage(manifest, every))]
    for label in sorted({clip.label for clip in shown}, key=list(TITLES).index):
        ours = [clip for clip in shown if clip.label == label]
        total = sum(clip.label == label for clip in every)
        there = tag("p", f"{len(ours):,} of {_count(total, 'clip')} shown.", class_="aside")
        parts.append((KINDS[label], TITLES[label], join(there, *_films(manifest, ours, crops))))
    parts.append(("made", "How the crops were made", _made(manifest.meta)))
    name = manifest.root.resolve().name
    return page(
        f"Contact sheet: {name}",
        *(section(anchor, title, content) for anchor, title, content in parts),
        lead=_lead(name, every, shown, crops=crops, seed=seed),
        contents=[(anchor, title) for anchor, title, _ in parts],
        foot="Made by gendkit. The pictures are reduced; what was measured are the crops.",
    )


def _clips(rows: pd.DataFrame) -> list[_Clip]:
    """Return the clips in order of dataset, method and video."""
    code = rows.groupby(CLIP, sort=False).ngroup().to_numpy()
    order = np.lexsort((rows["track"], rows["frame"], code))
    code, frame = code[order], rows["frame"].to_numpy()[order]
    there = (rows["path"] != "").to_numpy()[order]
    starts = np.flatnonzero(np.diff(code, prepend=-1))
    frames = np.flatnonzero((np.diff(code, prepend=-1) != 0) | (np.diff(frame, prepend=-2) != 0))
    seen = np.bincount(code[frames], np.logical_or.reduceat(there, frames))
    looked_at = np.bincount(code[frames], frame[frames] >= 0)
    known = rows[["dataset", "method", "video", "label"]].iloc[order[starts]]
    found = [
        _Clip(
            label=int(label),
            dataset=dataset,
            method=method,
            video=video,
            rows=part,
            crops=int(crops),
            frames=int(looked_at[number]),
            seen=int(seen[number]),
        )
        for number, ((dataset, method, video, label), part, crops) in enumerate(
            zip(
                known.itertuples(index=False, name=None),
                np.split(order, starts[1:]),
                np.add.reduceat(there.astype(np.int64), starts),
                strict=True,
            )
        )
    ]
    return sorted(found, key=lambda clip: (clip.dataset, clip.method, clip.video))


def _drawn(every: list[_Clip], wanted: int, *, seed: int) -> list[_Clip]:
    """Draw clips from all datasets, methods and labels in turn; return them in their order."""
    if len(every) <= wanted:
        return every
    groups: dict[tuple[str, str, int], list[int]] = {}
    for place, clip in enumerate(every):
        groups.setdefault((clip.dataset, clip.method, clip.label), []).append(place)
    rng = np.random.default_rng(seed)
    drawn = [rng.permutation(places).tolist() for places in groups.values()]
    turns = [(turn, group) for group, places in enumerate(drawn) for turn in range(len(places))]
    chosen = [drawn[group][turn] for turn, group in sorted(turns)[:wanted]]
    return [every[place] for place in sorted(chosen)]


def _lead(name: str, every: list[_Clip], shown: list[_Clip], *, crops: int, seed: int) -> Html:
    found, frames = sum(c.crops for c in every), sum(c.frames for c in every)
    seen, with_face = sum(c.seen for c in every), sum(c.crops > 0 for c in every)
    left_out = len(every) - len(shown)
    which = (
        f"{len(shown):,} of them are shown, drawn from all datasets and methods in turn with the "
        f"seed {seed}; {left_out:,} are not."
        if left_out
        else "All of them are shown."
    )
    longest = max(len(clip.rows) for clip in shown)
    each = f" Of a clip at most {crops} frames are shown, evenly spread." if longest > crops else ""
    per_label = Counter(KINDS[clip.label] for clip in every)
    kinds = ", ".join(f"{n:,} {kind}" for kind, n in sorted(per_label.items()))
    return join(
        tag("p", "Contact sheet", class_="eyebrow"),
        tag("h1", f"Face crops in {name}"),
        tag("p", f"{_count(len(every), 'clip')}: {kinds}. {which}{each}", class_="lede"),
        tiles(
            tile("Face crops", f"{found:,}", f"in {_count(frames, 'frame')} that were looked at"),
            tile("Clips with a face", f"{with_face:,}", f"of {len(every):,}"),
            tile("Frames without a crop", f"{frames - seen:,}", "each a grey tile with its reason"),
        ),
    )


def _count(n: int, one: str) -> str:
    return f"{n:,} {one if n == 1 else f'{one}s'}"


def _coverage(manifest: Manifest, every: list[_Clip]) -> Html:
    """Return how many clips have at least so many faces, and why frames have none."""
    wanted = manifest.meta.get("frames")
    most = wanted if isinstance(wanted, int) and wanted > 0 else 32
    steps = sorted({1, *(step for step in (4, 8, 16) if step < most), most})
    groups: dict[str, list[_Clip]] = {}
    for clip in every:
        kind = clip.method or KINDS[clip.label]
        groups.setdefault(f"{clip.dataset}: {kind}", []).append(clip)
    names = list(groups)[:REASONS]
    rows: list[list[Node]] = [["All clips", *_reached(every, steps)]]
    rows += [[_short(name), *_reached(groups[name], steps)] for name in names if len(groups) > 1]
    more = len(groups) - len(names)
    covered = table(
        ["Clips of", "Clips", *(f"≥ {_count(step, 'frame')}" for step in steps)],
        [(None, rows)],
        caption="How many clips have a face in at least so many frames"
        + (f"; {more:,} more kinds of clip are not listed" if more else ""),
    )
    return tag("div", covered, _reasons(manifest.table), class_="worded")


def _reached(clips: list[_Clip], steps: list[int]) -> list[Node]:
    return [f"{len(clips):,}", *(f"{sum(c.seen >= step for c in clips):,}" for step in steps)]


def _reasons(rows: pd.DataFrame) -> Html:
    without = rows[rows["path"] == ""]
    if not len(without):
        return prose("Every frame that was looked at has a face.")
    kinds = without.groupby("reason", sort=True).agg(n=("reason", "size"))
    kinds["clips"] = without.drop_duplicates(["reason", *CLIP]).groupby("reason").size()
    kinds = kinds.sort_values("n", ascending=False, kind="stable")
    listed: list[list[Node]] = [
        [_short(str(reason) or "no reason is kept"), f"{n:,}", f"{clips:,}"]
        for reason, n, clips in kinds.head(REASONS).itertuples(name=None)
    ]
    more = len(kinds) - len(listed)
    if more > 0:
        rest = int(kinds["n"].iloc[REASONS:].sum())
        listed.append([f"{more:,} other reasons", f"{rest:,}", ""])
    return table(
        ["Why a frame has no crop", "Frames", "Clips"], [(None, listed)],
        caption="Frames without a crop; of a clip that cannot be read there is one row",
    )  # fmt: skip


def _films(manifest: Manifest, clips: list[_Clip], crops: int) -> Iterator[Html]:
    """Yield a row a clip; those of one row each stand side by side."""
    lone = [clip for clip in clips if len(clip.rows) == 1]
    if len(lone) > 1:
        items = [
            _item(manifest, int(clip.rows[0]), clip, names=(clip.video, clip.method))
            for clip in lone
        ]
        yield tag("div", tag("ul", *items, class_="film"), class_="strip")
    for clip in clips:
        if len(lone) < 2 or len(clip.rows) > 1:
            yield _film(manifest, clip, crops=crops)


def _film(manifest: Manifest, clip: _Clip, *, crops: int) -> Html:
    """Return a clip's row of crops."""
    n = len(clip.rows)
    chosen = np.unique(np.linspace(0, n - 1, min(n, crops)).round().astype(int))
    first = manifest.table.iloc[clip.rows[0]]
    told = [clip.method or KINDS[clip.label], clip.dataset]
    told += [str(first[name]) for name in ("split", "degradation") if first[name]]
    if clip.frames:
        told.append(f"{_count(clip.crops, 'crop')} in {_count(clip.frames, 'frame')}")
    if len(chosen) < n:
        told.append(f"{len(chosen)} shown")
    problem = manifest.meta.get("problems", {}).get(f"{clip.dataset}/{clip.video}", "")
    head = tag("span", _short(", ".join(told)), class_="detail")
    return tag(
        "div",
        tag("h3", _short(clip.video), " ", head, class_="row-title"),
        note(_short(str(problem))) if problem and clip.crops else None,
        tag("ul", *(_item(manifest, int(row), clip) for row in clip.rows[chosen]), class_="film"),
        class_="strip",
    )


def _item(manifest: Manifest, row: int, clip: _Clip, *, names: tuple[str, ...] = ()) -> Html:
    """Return a crop, or a grey tile with the reason, and what is known of it."""
    known, kind = manifest.table.iloc[row], KINDS[clip.label]
    time, frame, confidence = float(known["time"]), int(known["frame"]), float(known["confidence"])
    when = f"{time:.2f} s" if np.isfinite(time) else ""
    if not when and frame >= 0 and not names:
        when = f"frame {frame}"
    what = [_short(name, TILE) for name in names if name]
    what += (
        [f"person {int(known['track']) + 1}"] if clip.crops > clip.seen and known["path"] else []
    )
    what += [f"confidence {number(confidence, digits=2)}"] if np.isfinite(confidence) else []
    image, reason = _crop(manifest, row)
    if image is None:
        shown = tag("span", _short(reason, TILE), class_="absent", title=_short(reason))
    else:
        alt = ", ".join(filter(None, [f"{kind} face", when, *what]))
        shown = picture(thumbnail(image, side=2 * SIZE), alt=alt, size=SIZE)
    return tag(
        "li",
        shown,
        tag("span", when, class_="score") if when else None,
        *(tag("span", text, class_="detail") for text in what),
        class_=f"is-{kind}",
    )


def _crop(manifest: Manifest, row: int) -> tuple[NDArray[np.uint8] | None, str]:
    """Return a row's crop, or why there is none."""
    path, reason = manifest.table[["path", "reason"]].iloc[row]
    if not path:
        return None, reason or "no reason is kept"
    try:
        return manifest.crop(row), ""
    except (MissingMedia, UnreadableMedia, InvalidManifest) as error:
        return None, f"the crop cannot be read: {error}"


def _made(meta: Mapping[str, Any]) -> Html:
    rows = list(_settings(meta))
    return facts(rows) if rows else prose("The manifest does not say how its crops were made.")


def _settings(meta: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, name in SETTINGS.items():
        value = meta.get(key)
        if key == "size" and key in meta and value is None:
            value = "native"
        if value is not None:
            yield name, _short(str(value))


def _short(text: str, most: int = LONGEST) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"

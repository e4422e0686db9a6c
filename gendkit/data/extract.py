"""From clips to a folder of face crops with its manifest.

Files, a folder, a dataset or clips enter; a folder DATASET/METHOD/VIDEO/FRAME.png with
`manifest.parquet` leaves. The paths are only names: what is known about a crop stands in the
manifest. Crops are kept losslessly, and the folder appears complete or not at all.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gendkit.data.examine import Crop, Examined, Which, examine
from gendkit.data.extractors import prepared
from gendkit.data.manifest import FILE, Manifest
from gendkit.data.media import Order, find_media
from gendkit.data.png import encode_png
from gendkit.errors import (
    InvalidManifest,
    MissingMedia,
    NotExamined,
    OutputExists,
    UnreadableMedia,
)
from gendkit.output import new_folder
from gendkit.plugin.protocols import Clip, Dataset

if TYPE_CHECKING:
    from gendkit.plugin.protocols import FaceExtractor, Image
    from gendkit.progress import Progress

__all__ = ["Crop", "Examined", "check_ids", "clips_of", "examine", "extract"]

MADE_BY = "gendkit extract"
Rows = list[dict[str, Any]]

_ID = re.compile(r"[\w.-]+(/[\w.-]+)*")
_log = logging.getLogger(__name__)


def extract(
    source: str | Path | Dataset | Iterable[Clip],
    out: str | Path,
    *,
    extractor: str | FaceExtractor = "centerface",
    frames: int = 32,
    order: Order | Sequence[int] = "spread",
    seed: int = 0,
    scale: float = 1.3,
    size: int | None = None,
    which: Which = "largest",
    workers: int = 2,
    pack: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Manifest:
    """Crop the faces of many clips into a folder and write its manifest.

    A frame without a usable face, and media that cannot be read, keep a row with the reason; each
    clip that could not be read, not to its end, or that gave no face is logged as an error.

    Parameters
    ----------
    source
        A file or folder of pictures and videos (see `clips_of`), a dataset, or clips.
    out
        The folder to make.
    extractor
        The name of a face extractor, which is built once if it is thread-safe, else by each worker
        for itself; or one that is built and may be called from several threads at once.
    frames, order, seed, scale, size, which
        See `examine`. Where all faces are taken, a frame has a row each, and `track` tells the
        people of a clip apart.
    workers
        Number of threads.
    pack
        Also write all crops into one file, from which they are read faster; see `Manifest.pack`.
    overwrite
        Replace `out` if it is an earlier output of this function.
    progress
        Called as `progress(done, total, text)` after each clip, in this thread.

    Returns
    -------
    The manifest, its rows in the order of the clips and of time. `meta` holds the settings, the
    extractor with its threshold, and under `problems`, by dataset/video, what is wrong with the
    clips that could not be read, not to their end, or that gave no face.

    Raises
    ------
    OutputExists
        If `out` holds something, and without `overwrite`, or if it was not made by this function.
    MissingMedia
        If there is no clip.
    InvalidArgument
        For numbers of frames that cannot be.
    InvalidManifest
        If two clips have one id, or an id cannot be the name of a file.
    UnknownPart, PluginError, MissingAsset, CorruptAsset, MissingDependency
        If there is no such extractor, or it cannot be built.
    NotExamined, UnreadableMedia
        If no clip gives a face, or none can be read. Nothing is then written.
    """
    out = Path(out)
    clips = clips_of(source)
    check_ids(clips)
    folder = new_folder(out, overwrite=overwrite, marker=FILE)
    _check_replaceable(out, clips)
    detector, made_by = prepared(extractor)
    settings: dict[str, Any] = {
        "frames": frames,
        "order": order if isinstance(order, str) else [int(number) for number in order],
        "seed": seed,
        "scale": scale,
        "size": size,
        "which": which,
    }

    def work(clip: Clip, folder: Path) -> _Done:
        return _extract_clip(clip, folder, extractor=detector, settings=settings)

    with folder as part:
        done = _run(work, clips, part, workers=workers, progress=progress)
        _check_any_crop(done)
        problems = {one.name: one.problem for one in done if one.problem}
        meta = {
            "made_by": MADE_BY,
            "gendkit": _version(),
            **made_by,
            "threshold": detector.threshold,
            **settings,
            "problems": problems,
        }
        rows = (row for one in done for row in one.rows)
        manifest = Manifest.from_rows(rows, part, meta=meta)
        manifest.write()
        if pack:
            manifest.pack()
    for name, problem in problems.items():
        _log.error("%s: %s", name, problem)
    return Manifest.read(out) if pack else Manifest(table=manifest.table, root=out, meta=meta)


def clips_of(source: str | Path | Dataset | Iterable[Clip]) -> list[Clip]:
    """List the clips of a source.

    A file or folder gives one clip of unknown label a picture or video: its dataset is the folder's
    name, its id the path below it, in which all but letters, digits, `-`, `_`, `.` and `/` becomes
    `_`. Nothing else is read out of a path.

    Raises
    ------
    MissingMedia
        If there is none.
    """
    if isinstance(source, str | Path):
        root = Path(source)
        base = root if root.is_dir() else root.parent
        name = _slug(base.resolve().name) or "media"
        clips = []
        taken: set[str] = set()
        for path in find_media(root):
            video = _unused(_slug(path.relative_to(base).as_posix()), taken)
            clips.append(Clip(video=video, media=path, dataset=name, label=-1))
        return clips
    clips = list(source if isinstance(source, Iterable) else source.clips())
    if not clips and isinstance(source, Iterable):
        raise MissingMedia("no clip was given; give at least one, a path or a dataset.")
    if not clips:
        name = getattr(source, "name", "")
        raise MissingMedia(
            f"the dataset{f' {name}' if name else ''} gives no clip, expected at least one; "
            "see what its options and its folder leave."
        )
    return clips


@dataclass(frozen=True, kw_only=True)
class _Done:
    """What came of a clip: its rows, what is wrong with its media, and why they are unreadable."""

    name: str
    rows: Rows
    damage: str
    error: MissingMedia | UnreadableMedia | None = None

    @property
    def has_crop(self) -> bool:
        return any(row["path"] for row in self.rows)

    @property
    def problem(self) -> str:
        """Why the clip counts as failed; empty if it does not."""
        if self.error is not None or self.has_crop:
            return self.damage
        faceless = f"none of the {len(self.rows)} frames that were looked at has a usable face"
        return "; ".join(filter(None, (self.damage, faceless)))


def _check_any_crop(done: list[_Done]) -> None:
    """Refuse an output without any crop, naming the first reason."""
    if any(one.has_crop for one in done):
        return
    several = f"none of {len(done)} clips gives a face crop; the first: " if len(done) > 1 else ""
    first = done[0]
    if first.error is not None:
        raise type(first.error)(f"{several}{first.error}")
    counts = Counter(row["reason"] for row in first.rows)
    reasons = [f"{n} x {reason}" for reason, n in counts.items()]
    why = ", ".join(filter(None, (*reasons, first.damage)))
    raise NotExamined(
        f"{several}{first.name} shows no usable face: {why}; give media in which a face can be "
        "seen, or another face extractor."
    )


def _run(
    work: Callable[[Clip, Path], _Done],
    clips: list[Clip],
    folder: Path,
    *,
    workers: int,
    progress: Progress | None,
) -> list[_Done]:
    """Work on all clips in threads; return the results in the order of the clips."""
    with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
        try:
            futures = [pool.submit(work, clip, folder) for clip in clips]
            for number, future in enumerate(as_completed(futures), start=1):
                future.result()
                if progress is not None:
                    progress(number, len(clips), "face crops")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        return [future.result() for future in futures]


def _extract_clip(
    clip: Clip, folder: Path, *, extractor: FaceExtractor, settings: Mapping[str, Any]
) -> _Done:
    """Write the crops of a clip; return its rows and what is wrong with its media."""
    known = _known(clip)
    name = f"{clip.dataset}/{clip.video}"
    try:
        examined = examine(clip, extractor=extractor, **settings)
    except (MissingMedia, UnreadableMedia) as error:
        reason = _reason(error, clip)
        row = {**known, "sample": _sample(clip, -1), "path": "", "reason": reason}
        return _Done(name=name, rows=[row], damage=reason, error=error)
    rows: Rows = []
    below = f"{clip.dataset}/{_method_folder(clip)}/{clip.video}"
    for crop in examined.crops:
        path = ""
        if crop.image is not None:
            person = f"-{crop.track}" if crop.track else ""
            path = f"{below}/{crop.frame:06d}{person}.png"
            _write_png(folder / path, crop.image)
        sample = _sample(clip, crop.frame, crop.track)
        rows.append({**known, **_facts(crop), "sample": sample, "path": path})
    return _Done(name=name, rows=rows, damage=examined.problem)


def _known(clip: Clip) -> dict[str, Any]:
    names = "dataset label video method family pair target_identity donor_identity split"
    row = {name: getattr(clip, name) for name in (*names.split(), "degradation", "licence")}
    return row if clip.year is None else {**row, "year": clip.year}


def _facts(crop: Crop) -> dict[str, Any]:
    facts: dict[str, Any] = {"frame": crop.frame, "track": crop.track, "reason": crop.reason}
    if crop.time is not None:
        facts["time"] = crop.time
    if crop.box is not None:
        facts["box"] = list(crop.box)
    if crop.landmarks is not None:
        facts["landmarks"] = [value for point in crop.landmarks for value in point]
    if crop.confidence is not None:
        facts["confidence"] = crop.confidence
    return facts


def _reason(error: Exception, clip: Clip) -> str:
    """Return an error's text without the machine's path, which does not belong into a manifest."""
    text = str(error)
    return text.replace(str(clip.media), "the file") if isinstance(clip.media, Path) else text


def _sample(clip: Clip, frame: int, track: int = 0) -> str:
    return f"{clip.dataset}/{clip.video}/{frame}/{track}"


def _method_folder(clip: Clip) -> str:
    return clip.method or ("real" if clip.label == 0 else "unlabelled")


def _write_png(path: Path, image: Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(image))


def check_ids(clips: Iterable[Clip]) -> None:
    """Refuse clips of which two have one id, or whose dataset, method or id cannot name a file.

    Raises
    ------
    InvalidManifest
        Naming the clip.
    """
    seen: set[tuple[str, str]] = set()
    for clip in clips:
        for field in ("dataset", "method", "video"):
            value = getattr(clip, field)
            missing = not value and field != "method"
            if missing or (value and not _is_id(value)):
                raise InvalidManifest(
                    f"{field} {value!r} of clip {clip.video!r} cannot name a file; it consists of "
                    "letters, digits, '-', '_', '.' and '/'."
                )
        if (clip.dataset, clip.video) in seen:
            raise InvalidManifest(f"two clips of {clip.dataset!r} have the id {clip.video!r}.")
        seen.add((clip.dataset, clip.video))


def _is_id(text: str) -> bool:
    return bool(_ID.fullmatch(text)) and not {".", ".."} & set(text.split("/"))


def _slug(text: str) -> str:
    return re.sub(r"[^\w./-]", "_", text)


def _unused(name: str, taken: set[str]) -> str:
    """Return the name, with a number if it is taken: two files may differ in replaced signs."""
    free, number = name, 1
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    taken.add(free)
    return free


def _check_replaceable(out: Path, clips: list[Clip]) -> None:
    """Refuse to replace a manifest that something else made, or the folder the clips are in."""
    if not (out / FILE).is_file():
        return
    if Manifest.read(out).meta.get("made_by") != MADE_BY:
        raise OutputExists(f"{out} was not made by {MADE_BY} and is not replaced.")
    inside = out.resolve()
    for clip in clips:
        if isinstance(clip.media, Path) and clip.media.resolve().is_relative_to(inside):
            raise OutputExists(f"{clip.media} lies in the output {out} that would be replaced.")


def _version() -> str:
    from gendkit import __version__

    return __version__

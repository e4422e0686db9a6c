"""One clip's work in an extraction: its crops are written, its rows are returned.

A `Job` and a clip enter, a `Done` leaves; wherever the work is done, it is the same. Clips in files
are decoded in a child process with a limit of time, so that a file that hangs or crashes its
decoder costs its own row and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gendkit.data.examine import Crop, examine
from gendkit.data.isolated import isolated
from gendkit.data.png import encode_png
from gendkit.data.source_facts import SourceFacts
from gendkit.data.sources import files_of
from gendkit.data.twins import CropBy, examine_twin
from gendkit.errors import MissingMedia, UnreadableMedia
from gendkit.output import part_of
from gendkit.plugin.protocols import Clip
from gendkit.processes import Apart

if TYPE_CHECKING:
    from gendkit.plugin.protocols import FaceExtractor, Image

Rows = list[dict[str, Any]]
ERRORS = {kind.__name__: kind for kind in (MissingMedia, UnreadableMedia)}


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a process needs to crop clips.

    Attributes
    ----------
    folder
        Where crops are written.
    extractor
        Finds the faces; it can be called from several threads.
    settings
        Of `examine`.
    crop
        By whose landmarks a fake is cropped.
    limit
        Seconds for a clip in a file; None is no limit, and no child process.
    """

    folder: Path
    extractor: FaceExtractor
    settings: Mapping[str, Any]
    crop: CropBy = "own"
    limit: float | None


@dataclass(frozen=True, kw_only=True)
class Done:
    """What came of a clip.

    Attributes
    ----------
    name
        Dataset and id.
    rows
        Of the manifest; values that JSON has.
    damage
        What is wrong with its media; empty if nothing is.
    error
        Name in `ERRORS` and text of why it could not be read at all; None if it could.
    """

    name: str
    rows: Rows
    damage: str = ""
    error: tuple[str, str] | None = None

    @property
    def has_crop(self) -> bool:
        """Whether any row has a crop."""
        return any(row["path"] for row in self.rows)

    @property
    def problem(self) -> str:
        """Why the clip counts as failed; empty if it does not."""
        if self.error is not None or self.has_crop:
            return self.damage
        faceless = f"none of the {len(self.rows)} frames that were looked at has a usable face"
        return "; ".join(filter(None, (self.damage, faceless)))


def crop_clip(job: Job, clip: Clip, apart: Apart | None, *, twin: Clip | None = None) -> Done:
    """Write the crops of a clip and return its rows.

    Parameters
    ----------
    job
        How.
    clip
        A clip in a file is worked on in a child process if there is a limit.
    apart
        The child processes; None for those of this process.
    twin
        The real clip by whose landmarks a fake is cropped, if it has one.

    Raises
    ------
    InvalidArgument
        If clip or extractor cannot be sent to a child process.
    MissingAsset, CorruptAsset, MissingDependency, PluginError
        From an extractor that cannot be built.
    """
    if job.limit is None or not (in_file(clip) or (twin is not None and in_file(twin))):
        return _crop(job, clip, twin)
    named = str(files_of(clip.media)[0] if in_file(clip) else clip.video)
    if twin is not None:
        named += f", or its real clip {twin.video},"
    try:
        return isolated(_crop, job, clip, twin, media=named, limit=job.limit, apart=apart)
    except UnreadableMedia as error:
        return _lost(job, clip, error)


def in_file(clip: Clip) -> bool:
    """Tell whether a clip is a file, not a function that renders it."""
    return bool(files_of(clip.media))


def folder_of(clip: Clip) -> str:
    """Return where the crops of a clip lie, below the folder of all."""
    method = clip.method or ("real" if clip.label == 0 else "unlabelled")
    return f"{clip.dataset}/{method}/{clip.video}"


def _lost(job: Job, clip: Clip, error: UnreadableMedia) -> Done:
    """Return the row of a clip whose process is gone, and remove what it left behind."""
    folder = job.folder / folder_of(clip)
    for file in folder.glob("*.png*") if folder.is_dir() else ():
        if file.is_file():
            file.unlink()
    return _unread(clip, error, {})  # whoever opens the file again may be lost too


def _unread(clip: Clip, error: MissingMedia | UnreadableMedia, source: Mapping[str, Any]) -> Done:
    reason = _reason(error, clip)
    row = {**_known(clip), **source, "sample": _sample(clip, -1), "path": "", "reason": reason}
    return Done(
        name=_name(clip), rows=[row], damage=reason, error=(type(error).__name__, str(error))
    )


def _crop(job: Job, clip: Clip, twin: Clip | None) -> Done:
    source = SourceFacts(clip)
    try:
        if job.crop == "pair" and clip.label == 1:
            examined = examine_twin(source.clip, twin, extractor=job.extractor, **job.settings)
        else:
            examined = examine(source.clip, extractor=job.extractor, **job.settings)
    except (MissingMedia, UnreadableMedia) as error:
        return _unread(clip, ERRORS[_kind(error)](str(error)), source.columns())
    rows: Rows = []
    known, below = {**_known(clip), **source.columns()}, folder_of(clip)
    for crop in examined.crops:
        path = ""
        if crop.image is not None:
            person = f"-{crop.track}" if crop.track else ""
            path = f"{below}/{crop.frame:06d}{person}.png"
            _write_png(job.folder / path, crop.image)
        sample = _sample(clip, crop.frame, crop.track)
        rows.append({**known, **_facts(crop), "sample": sample, "path": path})
    return Done(name=_name(clip), rows=rows, damage=examined.problem)


def _kind(error: Exception) -> str:
    return next(name for name, kind in ERRORS.items() if isinstance(error, kind))


def _known(clip: Clip) -> dict[str, Any]:
    names = "dataset label video method family pair target_identity donor_identity split"
    row = {name: getattr(clip, name) for name in (*names.split(), "degradation", "licence")}
    years = {name: getattr(clip, name) for name in ("year", "generator_year")}
    return row | {name: year for name, year in years.items() if year is not None}


def _facts(crop: Crop) -> dict[str, Any]:
    facts: dict[str, Any] = {"frame": int(crop.frame), "track": crop.track, "reason": crop.reason}
    if crop.time is not None:
        facts["time"] = float(crop.time)
    if crop.box is not None:
        facts["box"] = list(crop.box)
    if crop.landmarks is not None:
        facts["landmarks"] = [value for point in crop.landmarks for value in point]
    if crop.confidence is not None:
        facts["confidence"] = crop.confidence
    return facts


def _reason(error: Exception, clip: Clip) -> str:
    """Return an error's text without the machine's path, which does not belong into a manifest."""
    text, files = str(error), files_of(clip.media)
    return text.replace(str(files[0]), "the file") if files else text


def _name(clip: Clip) -> str:
    return f"{clip.dataset}/{clip.video}"


def _sample(clip: Clip, frame: int, track: int = 0) -> str:
    return f"{_name(clip)}/{frame}/{track}"


def _write_png(path: Path, image: Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = part_of(path)
    part.write_bytes(encode_png(image))
    part.replace(path)

"""From clips to a folder of face crops with its manifest.

Files, a folder, a dataset or clips enter; a folder DATASET/METHOD/VIDEO/FRAME.png with
`manifest.parquet` leaves. The paths are only names: what is known about a crop stands in the
manifest. Crops are kept losslessly, and the folder appears complete or not at all.
"""

from __future__ import annotations

import logging
import shutil
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gendkit.data.asked import check_numbers, explicit
from gendkit.data.clips import check_ids, clips_of
from gendkit.data.cropping import ERRORS, Done, Job, crop_clip, in_file
from gendkit.data.extractors import WhenAsked, looks_for_faces, prepared
from gendkit.data.isolated import LIMIT, check_limit
from gendkit.data.journal import Journal, inputs_of
from gendkit.data.manifest import FILE, Manifest, write_rows
from gendkit.data.media import Order
from gendkit.data.sources import files_of
from gendkit.data.stacked import Store, check_store
from gendkit.data.twins import CropBy, check_crop, real_twins
from gendkit.data.which import Which, check_which
from gendkit.errors import (
    InvalidArgument,
    NotExamined,
    OutputExists,
)
from gendkit.output import check_new_folder, put_in_place
from gendkit.plugin.protocols import Clip, Dataset
from gendkit.processes import TRIES, Apart, check_workers, cores, in_turn, shared_out

if TYPE_CHECKING:
    from gendkit.plugin.protocols import FaceExtractor
    from gendkit.progress import Progress

MADE_BY = "gendkit extract"
SCALE = 1.3
THREADS = 4
"""The most clips that are worked on at a time in this process."""

SETTINGS = ("frames", "order", "seed", "scale", "size", "which")
"""Those of `examine`."""
Task = tuple[int, Clip, Clip | None]
"""A clip with its number, and the real clip by whose landmarks it is cropped if it has one."""

_log = logging.getLogger(__name__)


def extract(
    source: str | Path | Dataset | Iterable[Clip],
    out: str | Path,
    *,
    extractor: str | FaceExtractor = "centerface",
    frames: int = 32,
    order: Order | Sequence[int] = "spread",
    seed: int = 0,
    scale: float = SCALE,
    size: int | None = None,
    which: Which = "meant",
    crop: CropBy = "own",
    workers: int | None = None,
    scheduler: str | None = None,
    time_limit: float | None = LIMIT,
    pack: bool = False,
    store: Store = "png",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Manifest:
    """Crop the faces of many clips into a folder and write its manifest.

    A frame without a usable face, and media that cannot be read, keep a row with the reason; each
    clip that could not be read, not to its end, or that gave no face is logged as an error. What a
    clip's own file states (size, codec ...) stands in the columns `source_...`; see
    `gendkit.measure.leaks`.

    A run that is interrupted or killed is gone on with by the same call, which gives the same
    folder as an uninterrupted one and does again at most the clips that were being worked on; and
    the same call on a finished output returns what is there. A function that renders a clip, or a
    face extractor, of which nothing can be pickled has no "same call": such a run begins anew.

    Parameters
    ----------
    source
        A file or folder of pictures and videos (see `gendkit.data.clips.clips_of`), a dataset, or
        clips.
    out
        The folder to make.
    extractor
        The name of a face extractor, which is built where it is needed: once in a process if it is
        thread-safe, else once in a thread; or one that is built, which must be picklable if clips
        are worked on in other processes.
    frames, order, seed, scale, size, which
        See `examine`. Where all faces are taken, a frame has a row each, and `track` tells the
        people of a clip apart; their label is that of the clip. Whole pictures know no scale.
    crop
        `own`: each clip by its own faces. `pair`: each fake by the landmarks of its real clip, in
        the same frames, so that both are aligned pixel by pixel; see `gendkit.data.twins`. A fake
        whose real clip is not in the source has a row with that reason. Clips that are not
        labelled fake are cropped by their own.
    workers
        Processes on this machine that share the clips; by default this one does all, several at a
        time.
    scheduler
        Address of a cluster of dask.distributed whose workers see the same files, instead.
    time_limit
        Seconds for a clip in a file. It is decoded in a child process, which is ended then; so
        that a file that crashes its decoder, or never ends, costs one row with its reason. None is
        no limit, and decodes in this process, or that of the worker. What renders clips is the
        dataset's own code and runs without a limit.
    pack
        Also write all crops into one file, from which they are read faster; see `Manifest.pack`.
    store
        `png`: a file a crop. `zarr`: all in one zarr array, for which `size` is needed; see
        `Manifest.to_zarr`.
    overwrite
        Replace `out` if it is an earlier output of this function, made of something else.
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
        If `out` holds something, and without `overwrite`, or if it was not made by this function;
        and if another process is extracting to it.
    MissingMedia
        If there is no clip.
    InvalidArgument
        For numbers that cannot be, for a rule or way to crop that there is not, for a scale where
        whole pictures are kept, if there are `workers` and a `scheduler`, if something
        cannot be sent to another process, and for a store that does not go with the rest.
    InvalidManifest
        If two clips have one id, or an id cannot be the name of a file.
    UnknownPart, PluginError, MissingAsset, CorruptAsset
        If there is no such extractor, or it cannot be built.
    MissingDependency
        Also if there are to be workers, and dask.distributed is not installed.
    WorkerLost
        If workers end again and again, or the scheduler is not to be reached.
    NotExamined, UnreadableMedia
        If no clip gives a face, or none can be read. Nothing is then written.
    """
    check_store(store, size=size, pack=pack)
    check_workers(workers, scheduler)
    check_which(which)
    check_crop(crop)
    check_limit(time_limit)
    check_numbers(frames=frames, order=order, seed=seed, scale=scale, size=size)
    out = Path(out)
    clips = clips_of(source)
    check_ids(clips)
    detector, made_by = prepared(extractor)
    whole = not looks_for_faces(detector)
    if whole and scale != SCALE:
        raise InvalidArgument(
            f"the scale is {scale}, and {made_by['extractor'] or 'this extractor'} keeps whole "
            "pictures, which have none; leave it away."
        )
    meta: dict[str, Any] = {
        "made_by": MADE_BY,
        "gendkit": _version(),
        **made_by,
        "threshold": detector.threshold,
        "frames": frames,
        "order": order if isinstance(order, str) else explicit(order),
        "seed": seed,
        "scale": None if whole else scale,
        "size": size,
        "which": which,
        "crop": crop,
        "time_limit": time_limit,
        "store": store,
    }
    inputs = inputs_of(clips, meta, extractor=detector)
    if (there := _same(out, inputs)) is None:
        check_new_folder(out, overwrite=overwrite, marker=FILE)
        _check_replaceable(out, clips)
        if any(in_file(clip) for clip in clips) and isinstance(detector, WhenAsked):
            detector.build()  # what is missing is told before any clip is decoded
        with Journal(out, inputs) as journal:
            check_new_folder(out, overwrite=overwrite, marker=FILE)  # another run may have ended
            job = Job(
                folder=journal.tree,
                extractor=detector,
                settings={**{name: meta[name] for name in SETTINGS}, "scale": scale},
                crop=crop,
                limit=time_limit,
            )
            _run(job, clips, journal, workers=workers, scheduler=scheduler, progress=progress)
            _check_any_crop(journal)
            _finish(journal, out, meta={**meta, "inputs": inputs})
        there = Manifest.read(out)
    for name, problem in there.meta["problems"].items():
        _log.error("%s: %s", name, problem)
    return there.pack() if pack and there.packed is None else there


def _same(out: Path, inputs: str | None) -> Manifest | None:
    """Return the manifest at a place if it was made of the same."""
    if inputs is None or not (out / FILE).is_file():
        return None
    there = Manifest.read(out)
    made = there.meta.get("made_by") == MADE_BY and there.meta.get("inputs") == inputs
    return there if made else None


def _run(
    job: Job,
    clips: Sequence[Clip],
    journal: Journal,
    *,
    workers: int | None,
    scheduler: str | None,
    progress: Progress | None,
) -> None:
    """Work on the clips that are not in the journal, and note down what came of them."""
    todo = [number for number in range(len(clips)) if number not in journal]
    twins = real_twins(clips) if job.crop == "pair" else {}
    tasks = ((n, clip, twins.get((clip.dataset, clip.video))) for n in todo for clip in [clips[n]])
    found: Generator[tuple[Task, Done]]
    if workers is None and scheduler is None:
        found = _here(job, tasks, min(cores(), THREADS))
    else:
        found = shared_out(
            partial(_crop, job, None),
            tasks,
            workers=workers,
            scheduler=scheduler,
            lost=lambda task: (
                f"clip {task[1].video!r} ended {TRIES} workers; look at the memory of the machine, "
                "and then extract again, which goes on."
            ),
        )
    with closing(found):
        for (number, *_), done in found:
            journal.add(number, done)
            if progress is not None:
                progress(len(journal), len(clips), "face crops")


def _here(job: Job, tasks: Iterator[Task], threads: int) -> Generator[tuple[Task, Done]]:
    """Work on clips in threads of this process, which have a child process each."""
    with Apart(threads) as apart, ThreadPoolExecutor(threads) as pool:
        try:
            work = partial(_crop, job, apart)
            yield from in_turn(partial(pool.submit, work), tasks, width=2 * threads)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            apart.close()  # or the clips that are being decoded would be waited for
            raise


def _crop(job: Job, apart: Apart | None, task: Task) -> Done:
    return crop_clip(job, task[1], apart, twin=task[2])


def _check_any_crop(journal: Journal) -> None:
    """Refuse an output without any crop, naming the first reason."""
    if journal.any_crop:
        return
    n = len(journal)
    several = f"none of {n} clips gives a face crop; the first: " if n > 1 else ""
    first = next(iter(journal))
    journal.keep = False
    if first.error is not None:
        kind, text = first.error
        raise ERRORS[kind](f"{several}{text}")
    counts = Counter(row["reason"] for row in first.rows)
    reasons = [f"{n} x {reason}" for reason, n in counts.items()]
    why = ", ".join(filter(None, (*reasons, first.damage)))
    raise NotExamined(
        f"{several}{first.name} shows no usable face: {why}; give media in which a face can be "
        "seen, or another face extractor."
    )


def _finish(journal: Journal, out: Path, *, meta: dict[str, Any]) -> None:
    """Write the manifest beside the crops, and put both in their place."""
    problems = dict(journal.problems[number] for number in sorted(journal.problems))
    rows = (row for done in journal for row in done.rows)
    write_rows(rows, journal.tree, meta={**meta, "problems": problems})
    whole = journal.tree
    if meta["store"] == "zarr":
        # Beside the files, which a killed run needs again.
        whole = journal.folder / "zarr"
        shutil.rmtree(whole, ignore_errors=True)
        Manifest.read(journal.tree).to_zarr(whole)
    put_in_place(whole, out)


def _check_replaceable(out: Path, clips: list[Clip]) -> None:
    """Refuse to replace a manifest that something else made, or the folder the clips are in."""
    if not (out / FILE).is_file():
        return
    if Manifest.read(out).meta.get("made_by") != MADE_BY:
        raise OutputExists(f"{out} was not made by {MADE_BY} and is not replaced.")
    inside = out.resolve()
    for file in (file for clip in clips for file in files_of(clip.media)):
        if file.resolve().is_relative_to(inside):
            raise OutputExists(f"{file} lies in the output {out} that would be replaced.")


def _version() -> str:
    from gendkit import __version__

    return __version__

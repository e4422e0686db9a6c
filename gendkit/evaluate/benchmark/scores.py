"""What a detector says of each crop of a manifest, kept in a file named by all that it depends on.

Jobs enter; `FOLDER/KEY.parquet` files leave, one a job, each made once. Scoring that is killed is
gone on with after the last part that was written, and processes that share a folder share the jobs.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import shutil
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from gendkit.data.manifest import Manifest
from gendkit.device import Dtype
from gendkit.evaluate.final import final_of, log_final
from gendkit.model.adapter import Adapter
from gendkit.model.batches import check_positive
from gendkit.model.detector import Detector, load
from gendkit.output import write_whole
from gendkit.progress import Progress, silent
from gendkit.train.outputs import run_over

if TYPE_CHECKING:
    from filelock import FileLock

FORMAT = 1
"""Raised when the same detector would say something else of the same crops."""
PART = 1024
"""Crops after which what was done is safe from being killed."""
COLUMNS = ("sample", "logit_real", "logit_fake", "p_fake")
ABOUT = (
    *("sample", "dataset", "video", "track", "frame", "label", "method", "family", "degradation"),
    *("target_identity", "donor_identity"),
)
"""Columns of the manifest that a table of scores has."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Job:
    """One detector on the crops of one manifest.

    Attributes
    ----------
    adapter
        Of the detector.
    dtype
        Compute dtype of the encoder.
    manifest
        Rows with a crop each.
    crops
        Digest of the manifest; see `gendkit.train.record.digest`.
    detector
        If it is in memory; else it is loaded where it is needed.
    """

    adapter: Adapter
    dtype: Dtype
    manifest: Manifest
    crops: str
    detector: Detector | None = None

    @cached_property
    def key(self) -> str:
        """Hash of all that the scores depend on; names their file."""
        own = {"format": FORMAT, "dtype": self.dtype, "crops": self.crops}
        facts = {**self.adapter.scoring, **own}
        return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()

    def of(self, first: int, last: int) -> Manifest:
        """Return some of the manifest's rows."""
        rows = self.manifest.table.iloc[first:last].reset_index(drop=True)
        return replace(self.manifest, table=rows)


def make_scores(
    jobs: Sequence[Job],
    folder: Path,
    *,
    device: str | None = None,
    batch_size: int = 32,
    progress: Progress = silent,
) -> int:
    """Make the scores that are not there yet; return how many crops were scored for them.

    A job that another process is at comes last: by then it is done, or gone on with here because
    that process has ended.

    Parameters
    ----------
    jobs
        Those of one detector one after the other, so that it is loaded once.
    folder
        An existing folder; it may hold the scores of other jobs.
    device
        Such as `cuda`; by default the best there is.
    batch_size
        Crops that are run at once. `PART` should be a multiple of it.
    progress
        Told after each batch, over all crops that are to be scored.

    Raises
    ------
    MissingMedia, UnreadableMedia
        If a crop is gone or damaged.
    WrongBackbone, MissingAsset, UnknownPart
        If a detector cannot be loaded.
    """
    import filelock

    check_positive("batch_size", batch_size)
    waiting = deque(job for job in jobs if not _whole(job, folder))
    total, done, scored, busy = sum(len(job.manifest) for job in waiting), 0, 0, 0
    live: Detector | None = None
    while waiting:
        job = waiting.popleft()
        lock = filelock.FileLock(folder / f"{job.key}.lock")
        try:
            lock.acquire(timeout=-1 if busy > len(waiting) else 0)
        except filelock.Timeout:
            waiting.append(job)
            busy += 1
            continue
        busy = 0
        try:
            if not _whole(job, folder):  # another process may have made it since
                if live is None or live.adapter is not job.adapter or live.dtype != job.dtype:
                    live = job.detector or load(job.adapter, device=device, dtype=job.dtype)
                if not begun(job, folder):
                    _note_final(job)
                tell = _Told(progress, done, total)
                scored += _make(job, folder, live, batch_size=batch_size, progress=tell)
            done += len(job.manifest)
            progress(done, total, "score")
        finally:
            _let_go(lock, job, folder)
    return scored


def read_scores(job: Job, folder: Path) -> pd.DataFrame:
    """Return what the detector of a job says of each crop, in the manifest's order.

    Columns `sample`, `logit_real`, `logit_fake` and `p_fake`, float32.
    """
    return pd.read_parquet(folder / f"{job.key}.parquet", columns=list(COLUMNS))


def score_table(job: Job, folder: Path, component: np.ndarray) -> pd.DataFrame:
    """Return the scores of a job as a table with one row a crop.

    Columns: those of `ABOUT`, `component`, `p_fake` and `margin` (logit of fake less that of real).

    Parameters
    ----------
    job, folder
        Whose scores are there.
    component
        (N,) number of each row's connected component.
    """
    scores = read_scores(job, folder)
    fake, real = (scores[f"logit_{c}"].to_numpy("float64") for c in ("fake", "real"))
    about = job.manifest.table[list(ABOUT)].reset_index(drop=True)
    return about.assign(
        component=component, p_fake=scores["p_fake"].to_numpy("float64"), margin=fake - real
    )


def begun(job: Job, folder: Path) -> bool:
    """Tell whether some of a job's scores are there, or all."""
    return _file(job, folder).exists() or any(_parts(job, folder).glob("*.parquet"))


@dataclass(frozen=True)
class _Told:
    """Tells how far all jobs are from how far one is."""

    progress: Progress
    before: int
    total: int

    def __call__(self, done: int, total: int, text: str) -> None:
        self.progress(self.before + done, self.total, "score")


def _make(
    job: Job, folder: Path, detector: Detector, *, batch_size: int, progress: Progress
) -> int:
    """Score what is not there of a job, part by part; return how many crops that were."""
    parts, began, scored = _parts(job, folder), time.monotonic(), 0
    parts.mkdir(exist_ok=True)
    tables = []
    for first in range(0, len(job.manifest), PART):
        some = job.of(first, first + PART)
        file = parts / f"{first:012d}.parquet"
        table = _read(file, some)
        if table is None:
            outputs = run_over(
                detector, some, batch_size=batch_size, progress=_Told(progress, first, 0)
            )
            table = pd.DataFrame(
                {
                    "sample": some.table["sample"].to_numpy(),
                    "logit_real": outputs.logit[:, 0],
                    "logit_fake": outputs.logit[:, 1],
                    "p_fake": outputs.score,
                }
            )
            write_whole(file, _parquet(table, {}))
            scored += len(some)
        tables.append(table)
    facts = {
        "adapter": job.adapter.hash, "backbone": job.adapter.header.backbone,
        "dtype": job.dtype, "device": detector.device, "batch_size": batch_size,
        "seconds": round(time.monotonic() - began, 1),
    }  # fmt: skip
    write_whole(_file(job, folder), _parquet(pd.concat(tables, ignore_index=True), facts))
    shutil.rmtree(parts, ignore_errors=True)
    return scored


def _note_final(job: Job) -> None:
    if (final := final_of(job.manifest)) is not None:
        log_final(final, adapter=job.adapter.hash, by="gendkit evaluate")


def _file(job: Job, folder: Path) -> Path:
    return folder / f"{job.key}.parquet"


def _parts(job: Job, folder: Path) -> Path:
    return folder / job.key


def _whole(job: Job, folder: Path) -> bool:
    """Tell whether a job's scores are there; a damaged file is removed, to be made anew."""
    file = _file(job, folder)
    return file.exists() and _read(file, job.manifest) is not None


def _read(file: Path, manifest: Manifest) -> pd.DataFrame | None:
    """Read the scores of a manifest's crops; None, and no file, if they are not that."""
    import pyarrow

    if not file.exists():
        return None
    try:
        table = pd.read_parquet(file, columns=list(COLUMNS))
    except (pyarrow.ArrowException, OSError, ValueError):
        table = None
    if table is None or table["sample"].tolist() != manifest.table["sample"].tolist():
        _log.warning("%s is damaged; its crops are scored anew", file)
        file.unlink(missing_ok=True)
        return None
    return table


def _parquet(table: pd.DataFrame, facts: dict[str, Any]) -> bytes:
    import pyarrow
    import pyarrow.parquet as parquet

    given = pyarrow.Table.from_pandas(table, preserve_index=False)
    buffer = io.BytesIO()
    meta = {b"gendkit": json.dumps(facts, sort_keys=True).encode()}
    parquet.write_table(given.replace_schema_metadata(meta), buffer, compression="zstd")
    return buffer.getvalue()


def _let_go(lock: FileLock, job: Job, folder: Path) -> None:
    """Release a lock; its file goes once it guards nothing more."""
    if _file(job, folder).exists():  # whoever has the file open will find the scores there
        Path(lock.lock_file).unlink(missing_ok=True)
    lock.release()

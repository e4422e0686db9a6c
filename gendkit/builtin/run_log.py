"""The log of a run: its rows as CSV and as JSON beside the folder that it will write.

While the run goes on, `.NAME-log.csv` and `.NAME-log.json` are written anew after each epoch, so
that a resumed run has each epoch once. When it has ended well, `history.csv` and `movement.csv`
stand in the folder beside `run.json`, and these two are gone; else they say how it ended.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from gendkit.output import write_whole
from gendkit.plugin.events import EpochEnded, FitEnded, RunInfo
from gendkit.train.course import HISTORY, MOVEMENT, RUNNING, log_paths

Rows = Sequence[Mapping[str, float]]


def begin(run: RunInfo) -> None:
    """Say that the run goes on; rows of a run before it are kept if this one goes on with it."""
    if run.out is not None:
        log_paths(run.out)[1].parent.mkdir(parents=True, exist_ok=True)
        _write(run, **(_kept(run) if run.resumed_from else {}), outcome=RUNNING)


def add(run: RunInfo, epoch: EpochEnded) -> None:
    """Write the rows of all epochs so far."""
    if run.out is not None:
        moved: Rows = _kept(run).get("movement", [])
        moved = [row for row in moved if row["epoch"] < epoch.number]
        moved = [*moved, {"epoch": epoch.number, **epoch.movement}]
        _write(run, history=epoch.history, movement=moved, chosen=epoch.chosen, outcome=RUNNING)


def close(run: RunInfo, end: FitEnded) -> None:
    """Move the rows into the folder of a run that ended well; else say how it ended."""
    if run.out is None:
        return
    kept = _kept(run)
    if end.outcome == "finished":
        write_whole(run.out / HISTORY, _csv(kept.get("history", [])))
        write_whole(run.out / MOVEMENT, _csv(kept.get("movement", [])))
        for path in log_paths(run.out):
            path.unlink(missing_ok=True)
    else:
        _write(run, **kept, outcome=end.outcome, reason=end.reason)


def _write(
    run: RunInfo,
    *,
    outcome: str,
    reason: str = "",
    history: Rows = (),
    movement: Rows = (),
    chosen: int | None = None,
) -> None:
    assert run.out is not None
    document = {
        "run": {**asdict(run), "out": run.out.name},
        "outcome": outcome,
        "reason": reason,
        "chosen": chosen,
        "history": list(history),
        "movement": list(movement),
    }
    as_csv, as_json = log_paths(run.out)
    write_whole(as_csv, _csv(history))
    write_whole(as_json, json.dumps(document, indent=1, default=str).encode())


def _csv(rows: Rows) -> bytes:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _kept(run: RunInfo) -> dict[str, Any]:
    """Return the rows of the log as it is; empty if there is none, or it is damaged."""
    assert run.out is not None
    try:
        document = json.loads(log_paths(run.out)[1].read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {key: document[key] for key in ("history", "movement", "chosen") if key in document}

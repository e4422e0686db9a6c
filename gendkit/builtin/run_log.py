"""The log of a run: its rows as CSV and as JSON beside the folder that it will write.

While the run goes on, `.NAME-log.csv` and `.NAME-log.json` are written anew after each epoch, so
that a resumed run has each epoch once. When it has ended well, `history.csv` stands in the folder
beside `run.json`, which has the rows too, and these two are gone; else they say how it ended.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gendkit.output import write_whole
from gendkit.plugin.events import EpochEnded, FitEnded, RunInfo

HISTORY = "history.csv"


def log_paths(out: Path) -> tuple[Path, Path]:
    """Return where the log of a run lies, as CSV and as JSON, by the folder it will write."""
    path = out.resolve()
    return path.with_name(f".{path.name}-log.csv"), path.with_name(f".{path.name}-log.json")


def begin(run: RunInfo) -> None:
    """Say that the run goes on; rows of a run before it are kept if this one goes on with it."""
    if run.out is not None:
        _, path = log_paths(run.out)
        path.parent.mkdir(parents=True, exist_ok=True)
        earlier = _read(path).get("history", []) if run.resumed_from else []
        _write(run, history=earlier, outcome="running")


def add(run: RunInfo, epoch: EpochEnded) -> None:
    """Write the rows of all epochs so far."""
    if run.out is not None:
        _write(run, history=epoch.history, outcome="running")


def close(run: RunInfo, end: FitEnded) -> None:
    """Move the rows into the folder of a run that ended well; else say how it ended."""
    if run.out is None:
        return
    paths = log_paths(run.out)
    history = _read(paths[1]).get("history", [])
    if end.outcome == "finished":
        write_whole(run.out / HISTORY, _csv(history))
        for path in paths:
            path.unlink(missing_ok=True)
    else:
        _write(run, history=history, outcome=end.outcome, reason=end.reason)


def _write(
    run: RunInfo, *, history: Sequence[Mapping[str, float]], outcome: str, reason: str = ""
) -> None:
    assert run.out is not None
    facts = {**asdict(run), "out": run.out.name}
    document = {"run": facts, "outcome": outcome, "reason": reason, "history": list(history)}
    as_csv, as_json = log_paths(run.out)
    write_whole(as_csv, _csv(history))
    write_whole(as_json, json.dumps(document, indent=1, default=str).encode())


def _csv(history: Sequence[Mapping[str, float]]) -> bytes:
    columns = list(dict.fromkeys(name for row in history for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    return text.getvalue().encode()


def _read(path: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document

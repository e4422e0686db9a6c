"""The log of computations on final data: what is looked at last is looked at on the record."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gendkit.data.assets import cache_folder
from gendkit.data.columns import SPLITS
from gendkit.data.manifest import Manifest
from gendkit.train.engine import describe

LOG = "final-evaluations.jsonl"


def final_of(manifest: Manifest) -> Manifest | None:
    """Return the final crops of a manifest, if it has any."""
    final = (manifest.table["split"] == SPLITS[-1]).to_numpy()
    return manifest.where(final) if final.any() else None


def log_final(manifest: Manifest, **facts: Any) -> int:
    """Note that a detector is about to be evaluated on final data, in the user's cache folder.

    Parameters
    ----------
    manifest
        The final crops.
    facts
        What is evaluated, such as `adapter="..."`.

    Returns
    -------
    int
        How often the same crops have been evaluated, this time included: the more often, the less
        the result is a test.
    """
    path = cache_folder() / LOG
    digest = describe(manifest)["digest"]
    entry = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "data": digest, **facts}
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as log:
        log.write(json.dumps(entry, sort_keys=True) + "\n")
    return _times(digest)


def times_logged(manifest: Manifest) -> int:
    """Return how often final crops have been evaluated, without noting anything."""
    return _times(describe(manifest)["digest"])


def read_log(path: Path | None = None) -> list[dict[str, Any]]:
    """Return the entries of the log, oldest first."""
    path = path or cache_folder() / LOG
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def _times(digest: str) -> int:
    return sum(entry["data"] == digest for entry in read_log())

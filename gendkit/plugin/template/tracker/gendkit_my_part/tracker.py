"""A table of a run's epochs: one line of CSV an epoch in a file beside the run's output."""

from __future__ import annotations

import csv
from pathlib import Path

from gendkit.plugin import EpochEnded, RunInfo, hookimpl


class Table:
    """Writes the table anew after each epoch.

    What it is told holds all epochs so far, those before a resumption too: so it remembers nothing,
    and each epoch is there once.
    """

    @hookimpl
    def gendkit_epoch_ended(self, run: RunInfo, epoch: EpochEnded) -> None:
        """Write the rows of all epochs so far."""
        file = file_of(run)
        file.parent.mkdir(parents=True, exist_ok=True)
        columns = dict.fromkeys(name for row in epoch.history for name in row)
        part = file.with_suffix(".part")
        with part.open("w", encoding="utf-8", newline="") as opened:
            table = csv.DictWriter(opened, list(columns))
            table.writeheader()
            table.writerows(epoch.history)
        part.replace(file)


def file_of(run: RunInfo) -> Path:
    """Return where the table of a run is."""
    if run.out is None:
        return Path("runs") / f"{run.name}-my-part.csv"
    out = run.out.resolve()
    return out.with_name(f"{out.name}-my-part.csv")


plugin = Table()

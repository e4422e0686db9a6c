"""TensorBoard: the numbers of each epoch as curves in a folder beside the run's output."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gendkit.plugin import EpochEnded, FitEnded, RunInfo, hookimpl


class TensorBoard:
    """Writes TensorBoard's event files."""

    def __init__(self) -> None:
        self._writers: dict[int, Any] = {}

    @hookimpl
    def gendkit_fit_started(self, run: RunInfo) -> None:
        """Open the folder; of a resumed run, curves go on at its first epoch."""
        from torch.utils.tensorboard import SummaryWriter

        done = run.resumed_from * run.epochs // run.steps
        writer = SummaryWriter(folder_of(run), purge_step=done if run.resumed_from else None)
        writer.add_text("recipe", f"```json\n{json.dumps(run.recipe, indent=1, default=str)}\n```")
        self._writers[id(run)] = writer

    @hookimpl
    def gendkit_epoch_ended(self, run: RunInfo, epoch: EpochEnded) -> None:
        """Add a point to each curve."""
        writer = self._writers[id(run)]
        for name, value in epoch.row.items():
            if name != "epoch":
                writer.add_scalar(_tag(name), value, epoch.number)
        for layer, moved in epoch.movement.items():
            writer.add_scalar(f"movement/{layer}", moved, epoch.number)
        writer.flush()

    @hookimpl
    def gendkit_fit_ended(self, run: RunInfo, end: FitEnded) -> None:
        """Say how the run ended, and close the files."""
        writer = self._writers.pop(id(run))
        writer.add_text("outcome", f"{end.outcome} {end.reason}".strip())
        writer.close()


def folder_of(run: RunInfo) -> Path:
    """Return where the event files of a run are."""
    if run.out is None:
        return Path("runs") / run.name
    return run.out.resolve().with_name(f"{run.out.resolve().name}-tensorboard")


def _tag(name: str) -> str:
    metric = name.removeprefix("validation_")
    return f"train/{name}" if metric == name else f"validation/{metric}"


plugin = TensorBoard()

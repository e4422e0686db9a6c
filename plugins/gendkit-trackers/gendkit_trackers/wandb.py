"""Weights & Biases: a run of the service, or of its offline files, for each run of gendkit."""

from __future__ import annotations

import os
import warnings
from typing import Any

from gendkit.errors import MissingService
from gendkit.plugin import EpochEnded, FitEnded, RunInfo, hookimpl

PROJECT = "gendkit"


class WeightsAndBiases:
    """Logs to Weights & Biases as its own settings say."""

    def __init__(self) -> None:
        self._runs: dict[int, Any] = {}

    @hookimpl
    def gendkit_fit_started(self, run: RunInfo) -> None:
        """Begin a run there, with recipe, data and versions as its configuration.

        Raises
        ------
        MissingService
            If nobody is logged in, or the service does not answer.
        """
        with warnings.catch_warnings():  # what it imports sets filters for the whole process
            import wandb

        name = run.out.resolve().name if run.out is not None else run.name
        config = {
            "recipe": dict(run.recipe), "data": dict(run.data), "backbone": dict(run.backbone),
            "versions": dict(run.versions), "device": run.device, "ranks": run.ranks,
            "resumed_from": run.resumed_from,
        }  # fmt: skip
        try:
            self._runs[id(run)] = wandb.init(
                project=os.environ.get("WANDB_PROJECT", PROJECT),
                name=name,
                group=name,
                dir=str(run.out.resolve().parent) if run.out is not None else None,
                config=config,
                reinit="create_new",
                # What the user's cells and terminal show is not the run's, and is not sent.
                settings=wandb.Settings(console="off"),
            )
        except (wandb.errors.UsageError, wandb.errors.CommError) as error:
            raise MissingService(
                f"Weights & Biases: {' '.join(str(error).split())} To keep the run here instead, "
                "set WANDB_MODE=offline."
            ) from None

    @hookimpl
    def gendkit_epoch_ended(self, run: RunInfo, epoch: EpochEnded) -> None:
        """Log the epoch's numbers, with its own number as the step."""
        moved = {f"movement/{layer}": value for layer, value in epoch.movement.items()}
        self._runs[id(run)].log({**epoch.row, **moved}, step=epoch.number)

    @hookimpl
    def gendkit_fit_ended(self, run: RunInfo, end: FitEnded) -> None:
        """Say how the run ended, and finish the one there."""
        theirs = self._runs.pop(id(run))
        theirs.summary["outcome"] = end.outcome
        if end.record is not None:
            theirs.summary["chosen_epoch"] = end.record["chosen_epoch"]
        theirs.finish(exit_code=0 if end.outcome == "finished" else 1)


plugin = WeightsAndBiases()

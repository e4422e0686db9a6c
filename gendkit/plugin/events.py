"""What telling hooks are told: values about a training run, which nobody can change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """A run that has begun.

    Attributes
    ----------
    name
        Of the recipe.
    recipe
        All of its fields.
    out
        The folder that the run will write, if any; it is there when the fit has ended well.
    epochs, steps
        How many there are in all.
    resumed_from
        Step from which an interrupted run goes on; 0 for a new one.
    device, ranks
        Where it runs, and on how many processes.
    compiled
        Whether torch compiled the encoder.
    data
        Counts and digests of `train` and `validation`.
    backbone
        `name`, `hash` and `source`.
    versions
        Of what the numbers depend on.
    """

    name: str
    recipe: Mapping[str, Any]
    out: Path | None
    epochs: int
    steps: int
    resumed_from: int
    device: str
    ranks: int
    compiled: bool
    data: Mapping[str, Mapping[str, Any]]
    backbone: Mapping[str, str]
    versions: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class EpochEnded:
    """An epoch that was trained and validated.

    Attributes
    ----------
    number
        From 0.
    history
        Rows of all epochs so far, those before a resumption too: `epoch`, `loss`, each loss's own
        value, `pairs`, `learning_rate`, the validation metrics by `validation_` and their names,
        `seconds`.
    movement
        How far the weights of each layer norm have moved: L2 norm of the change over that before.
    chosen
        The best epoch so far.
    """

    number: int
    history: tuple[Mapping[str, float], ...]
    movement: Mapping[str, float]
    chosen: int

    @property
    def row(self) -> Mapping[str, float]:
        """The row of this epoch."""
        return self.history[-1]


@dataclass(frozen=True, kw_only=True)
class FitEnded:
    """How a run ended.

    Attributes
    ----------
    outcome
        `finished`, `failed` by an error, or `interrupted` by the user.
    reason
        The error; empty for a finished run.
    record
        What `run.json` holds; None unless finished.
    """

    outcome: Literal["finished", "failed", "interrupted"]
    reason: str = ""
    record: Mapping[str, Any] | None = None

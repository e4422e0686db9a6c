"""How far a run has come: told by its hooks, read from its folder, or from the log beside it.

While a run goes on its log, `.NAME-log.csv` and `.NAME-log.json`, lies beside the folder that it
will write; that of a run that did not end well stays there.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gendkit.errors import MissingMedia, UnreadableMedia

if TYPE_CHECKING:
    from gendkit.train.run import Run

Row = Mapping[str, float]
RECORD, HISTORY, MOVEMENT = "run.json", "history.csv", "movement.csv"
RUNNING, FINISHED = "running", "finished"


@dataclass(frozen=True, kw_only=True)
class Course:
    """What is known of a run so far.

    Attributes
    ----------
    name
        Of the recipe.
    losses
        Names of the losses in the sum, by plugin name.
    epochs
        How many there are in all.
    history
        One row an epoch; see `gendkit.train.run.Run`.
    movement
        Rows of `epoch` and, by layer in order of depth, how far the weights of each layer norm have
        moved: L2 norm of the change over that before. Of a `Run`, that of the chosen epoch alone.
    chosen
        The best epoch so far; None before the first.
    metric
        By which it is chosen.
    outcome
        `running`, `finished`, `failed` or `interrupted`.
    reason
        Why it failed; else empty.
    """

    name: str
    losses: tuple[str, ...]
    epochs: int
    metric: str
    history: tuple[Row, ...] = ()
    movement: tuple[Row, ...] = ()
    chosen: int | None = None
    outcome: str = RUNNING
    reason: str = ""

    @classmethod
    def of_recipe(cls, recipe: Mapping[str, Any], **known: Any) -> Course:
        """Return it from all fields of a recipe and what else is known."""
        return cls(
            name=str(recipe["name"]),
            losses=tuple(recipe["losses"]),
            epochs=int(recipe["epochs"]),
            metric=str(recipe["selection"]["metric"]),
            **known,
        )

    @classmethod
    def of_run(cls, run: Run) -> Course:
        """Return that of a run that has finished in this process."""
        chosen = int(run.record["chosen_epoch"])
        moved = dict(zip(run.layers["layer"], run.layers["weight"], strict=True))
        return cls.of_recipe(
            run.record["recipe"],
            history=tuple(run.record["history"]),
            movement=({"epoch": chosen, **moved},),
            chosen=chosen,
            outcome=FINISHED,
        )

    @classmethod
    def read(cls, folder: str | Path) -> Course:
        """Read that of a run by the folder that it wrote, or will write.

        A log beside the folder is of a later run than what is in it.

        Raises
        ------
        MissingMedia
            If there is neither.
        UnreadableMedia
            If what is there is no record of a run, or damaged.
        """
        folder = Path(folder)
        log, record = log_paths(folder)[1], folder / RECORD
        path = log if log.is_file() else record
        if not path.is_file():
            raise MissingMedia(
                f"no run at {folder}: it has no {RECORD}, and there is no {log.name} beside it; "
                "give the folder that is fit's `out`."
            )
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            if path == log:
                return cls.of_recipe(
                    document["run"]["recipe"],
                    history=tuple(document["history"]),
                    movement=tuple(document.get("movement", ())),
                    chosen=document.get("chosen"),
                    outcome=str(document["outcome"]),
                    reason=str(document["reason"]),
                )
            return cls.of_recipe(
                document["recipe"],
                history=tuple(document["history"]),
                movement=_rows(folder / MOVEMENT),
                chosen=int(document["chosen_epoch"]),
                outcome=FINISHED,
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UnreadableMedia(
                f"{path} is no record of a run, or damaged: {error!r}; train it again."
            ) from None


def log_paths(out: Path) -> tuple[Path, Path]:
    """Return where the log of a run lies, as CSV and as JSON, by the folder it will write."""
    path = out.resolve()
    return path.with_name(f".{path.name}-log.csv"), path.with_name(f".{path.name}-log.json")


def _rows(path: Path) -> tuple[Row, ...]:
    if not path.is_file():
        return ()
    with path.open(encoding="utf-8", newline="") as file:
        return tuple({k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file))

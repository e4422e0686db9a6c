"""The epochs of a run: each is trained and validated, and the best one's adapter is kept."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import pandas as pd

from gendkit.data.loader import Batch
from gendkit.data.manifest import Manifest
from gendkit.errors import Diverged
from gendkit.model.adapter import Adapter
from gendkit.progress import Progress
from gendkit.train.trainer import Trainer, columns_of


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The adapter of the best epoch so far, by the value of the recipe's selection."""

    adapter: Adapter
    epoch: int
    value: float


def run_epochs(
    trainer: Trainer, train: Manifest, validation: Manifest, *, progress: Progress
) -> tuple[pd.DataFrame, Chosen]:
    """Train all epochs of the trainer's recipe.

    Returns
    -------
    DataFrame
        One row an epoch; see `gendkit.train.engine.Run`.
    Chosen
        The epoch that is kept.

    Raises
    ------
    Diverged
        If the loss stops being finite.
    """
    recipe, loader = trainer.recipe, trainer.loader(train)
    columns = columns_of(train)
    steps = loader.steps()
    rows: list[dict[str, float]] = []
    best: Chosen | None = None
    for epoch in range(recipe.epochs):
        start = time.perf_counter()
        sums: dict[str, float] = {}
        pairs = 0
        for i, batch in enumerate(loader.epoch(epoch)):
            step = epoch * steps + i
            rate = trainer.set_rate(step, steps)
            terms = trainer.step(batch.pixels, columns, batch.rows)
            if not all(np.isfinite(v) for v in terms.values()):
                raise _diverged(step, terms, train, batch)
            for key, value in terms.items():
                sums[key] = sums.get(key, 0.0) + value / steps
            pairs += batch.pairs
            progress(step + 1, recipe.epochs * steps, f"train {recipe.name}")
        metric = recipe.selection.metric
        row = {"epoch": epoch, **sums, "pairs": pairs / steps, "learning_rate": rate}
        if metric != "last" or epoch == recipe.epochs - 1:
            row |= trainer.validate(validation)
        rows.append({**row, "seconds": time.perf_counter() - start})
        value = float(epoch) if metric == "last" else row[f"validation_{metric}"]
        if best is None or value > best.value:
            best = Chosen(adapter=trainer.adapter(), epoch=epoch, value=value)
    assert best is not None  # epochs >= 1
    return pd.DataFrame(rows), best


def _diverged(step: int, terms: dict[str, float], train: Manifest, batch: Batch) -> Diverged:
    samples = ", ".join(train.table["sample"].iloc[batch.rows[:4]])
    return Diverged(
        f"step {step} has loss {terms}; its batch begins with {samples}; "
        "lower learning_rate, or look at these crops."
    )

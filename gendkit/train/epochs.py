"""The epochs of a run: each is trained and validated, and the best one's numbers are kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from gendkit.data.loader import Batch
from gendkit.data.manifest import Manifest
from gendkit.errors import Diverged
from gendkit.progress import Progress
from gendkit.train.checkpoint import Chosen, Keeper, Standing
from gendkit.train.trainer import Trainer, columns_of


def run_epochs(
    trainer: Trainer,
    train: Manifest,
    validation: Manifest,
    *,
    begin: Standing,
    keeper: Keeper | None,
    progress: Progress,
    ended: Callable[[Standing], None],
) -> Standing:
    """Train all epochs of the trainer's recipe that are left.

    Parameters
    ----------
    trainer
        In the state of `begin`.
    train, validation
        Face crops.
    begin
        Where the run stands: `Standing()`, or that of a checkpoint.
    keeper
        Of checkpoints, if any are to be kept.
    progress
        Told after each step.
    ended
        Called after each epoch, with its row at the end of the history.

    Returns
    -------
    Standing
        At the end of the last epoch.

    Raises
    ------
    Diverged
        If the loss or its gradient stops being finite.
    UnwritableOutput
        If a checkpoint cannot be written.
    """
    recipe, loader = trainer.recipe, trainer.loader(train)
    columns, steps = columns_of(train), loader.steps()
    standing = begin
    while standing.step < recipe.epochs * steps:
        epoch, start = divmod(standing.step, steps)
        clock = time.perf_counter() - standing.seconds
        for batch in loader.epoch(epoch, start=start):
            trainer.set_rate(standing.step, steps)
            terms = trainer.step(batch.pixels, columns, batch.rows)
            if not all(np.isfinite(v) for v in terms.values()):
                raise _diverged(standing.step, terms, train, batch, keeper)
            standing = replace(
                standing,
                step=standing.step + 1,
                sums={k: standing.sums.get(k, 0.0) + v / steps for k, v in terms.items()},
                pairs=standing.pairs + batch.pairs,
                seconds=time.perf_counter() - clock,
            )
            progress(standing.step, recipe.epochs * steps, f"train {recipe.name}")
            if standing.step % steps == 0:
                try:
                    standing = _with_epoch(standing, trainer, validation, steps=steps, clock=clock)
                except Diverged as error:
                    raise Diverged(f"after step {standing.step}, {error}{_kept(keeper)}.") from None
            if keeper is not None and keeper.due(standing.step, steps):
                keeper.keep(standing, trainer.state())
            if standing.step % steps == 0:
                ended(standing)
    return standing


def _with_epoch(
    standing: Standing, trainer: Trainer, validation: Manifest, *, steps: int, clock: float
) -> Standing:
    """Close an epoch: validate it, and choose it if it is the best."""
    recipe = trainer.recipe
    epoch, metric = len(standing.history), recipe.selection.metric
    row = {
        "epoch": epoch,
        **standing.sums,
        "pairs": standing.pairs / steps,
        "learning_rate": recipe.rate(standing.step - 1, steps),
    }
    if metric != "last" or epoch == recipe.epochs - 1:
        row |= trainer.validate(validation)
    value = float(epoch) if metric == "last" else row[f"validation_{metric}"]
    chosen = standing.chosen
    if chosen is None or value > chosen.value:
        adapter = trainer.adapter()
        chosen = Chosen(epoch=epoch, value=value, tuned=adapter.tuned, head=adapter.head)
    row["seconds"] = time.perf_counter() - clock
    return Standing(step=standing.step, history=(*standing.history, row), chosen=chosen)


def _diverged(
    step: int, terms: Mapping[str, float], train: Manifest, batch: Batch, keeper: Keeper | None
) -> Diverged:
    samples = train.table["sample"].iloc[batch.rows].tolist()
    error = Diverged(
        f"step {step} has loss {dict(terms)}; its batch begins with {', '.join(samples[:4])}; "
        f"lower learning_rate, or look at these crops{_kept(keeper)}."
    )
    error.add_note(f"All crops of that batch: {', '.join(samples)}.")
    return error


def _kept(keeper: Keeper | None) -> str:
    return f" ({keeper.kept()})" if keeper is not None and keeper.last else ""

"""Runs that nobody made, for telling a tracker of them, and what it does meanwhile.

A tracker enters; what it raised, and what it changed in files, values and settings, leaves. It
works in a temporary working directory, with outputs in a folder beside it.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import logging
import os
import random
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gendkit.errors import MissingDependency, MissingService
from gendkit.plugin.calls import Listener
from gendkit.plugin.events import EpochEnded, FitEnded, RunInfo
from gendkit.testing.rules import NotHere
from gendkit.train.course import RECORD

EPOCHS, STEPS = 3, 12
LAYERS = ("blocks.0.norm1", "blocks.0.norm2", "norm")
ADAPTER = "adapter.safetensors"
Tree = Mapping[str, str]
"""By path, a digest of each file; folders have an empty one."""


@dataclass(kw_only=True)
class Observed:
    """What a tracker did while it was told of a run.

    Attributes
    ----------
    error
        What it raised; None for nothing. It is then told no more.
    told
        By event, whether it stayed equal to a copy.
    before, after
        By name, settings and states of the process.
    trees
        By moment, what there was in the folder that holds all.
    """

    error: BaseException | None = None
    told: dict[str, bool] = field(default_factory=dict)
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    trees: dict[str, Tree] = field(default_factory=dict)

    def changed(self, what: str) -> list[str]:
        """Return the names, beginning with a word, of what is not as it was."""
        names = [name for name in self.before if name.startswith(what)]
        return [n for n in names if not _equal(self.before[n], self.after.get(n))]


def run_info(out: Path | None, *, resumed_from: int = 0) -> RunInfo:
    """Return a run of three epochs of four steps that nobody makes."""
    recipe = {
        "name": "checked", "backbone": "small", "losses": {"cross-entropy": {"weight": 1.0}},
        "learning_rate": 3e-4, "batch_size": 8, "epochs": EPOCHS, "dtype": "float32",
        "selection": {"data": "drawn people of development", "metric": "auroc"},
    }  # fmt: skip
    counts = {"crops": 32, "clips": 8, "digest": "0" * 64}
    return RunInfo(
        name="checked",
        recipe=recipe,
        out=out,
        epochs=EPOCHS,
        steps=STEPS,
        resumed_from=resumed_from,
        device="cpu",
        ranks=1,
        compiled=False,
        data={"train": counts, "validation": dict(counts)},
        backbone={"name": "small", "hash": "1" * 64, "source": "gendkit 0"},
        versions={"python": "3", "torch": torch.__version__, "gendkit": "0"},
    )


def epoch_ended(number: int) -> EpochEnded:
    """Return an epoch with the rows of all before it."""
    history = tuple(
        {
            "epoch": float(epoch), "loss": 0.7 / (epoch + 1), "cross-entropy": 0.7 / (epoch + 1),
            "pairs": 4.0, "learning_rate": 3e-4 / (epoch + 1), "seconds": 1.5,
            "validation_auroc": 0.5 + epoch / 10, "validation_loss": 0.7,
        }
        for epoch in range(number + 1)
    )  # fmt: skip
    moved = {layer: 0.01 * (number + 1) * (at + 1) for at, layer in enumerate(LAYERS)}
    return EpochEnded(number=number, history=history, movement=moved, chosen=number)


def fit_ended(run: RunInfo) -> FitEnded:
    """Return the end of a run that ended well."""
    history = [dict(row) for row in epoch_ended(EPOCHS - 1).history]
    record = {"recipe": dict(run.recipe), "history": history, "chosen_epoch": EPOCHS - 1}
    return FitEnded(outcome="finished", record=record)


INTERRUPTED = FitEnded(outcome="interrupted", reason="KeyboardInterrupt")
FAILED = FitEnded(outcome="failed", reason="Diverged: step 0: the loss is nan")


class Told:
    """A run that a tracker is told of, hook by hook, as the engine does.

    Parameters
    ----------
    listener
        The tracker.
    run
        The run.
    """

    def __init__(self, listener: Listener, run: RunInfo) -> None:
        self.listener, self.run = listener, run

    def start(self) -> None:
        """Tell that it has begun."""
        try:
            self._tell("gendkit_fit_started", run=self.run)
        except (MissingService, MissingDependency) as error:
            raise NotHere(f"it cannot be tried here: {error}") from None

    def epoch(self, number: int, *, told: EpochEnded | None = None) -> None:
        """Tell that an epoch has ended."""
        self._tell("gendkit_epoch_ended", run=self.run, epoch=told or epoch_ended(number))

    def end(self, how: FitEnded | None = None) -> None:
        """Tell how it has ended; of one that ended well, the output is then there."""
        how = how or fit_ended(self.run)
        if how.outcome == "finished" and self.run.out is not None:
            self.run.out.mkdir(exist_ok=True)  # that it was made too early is said elsewhere
            for name in (RECORD, ADAPTER):
                (self.run.out / name).write_bytes(b"{}")
        self._tell("gendkit_fit_ended", run=self.run, end=how)

    def whole(self) -> None:
        """Tell of it from its start to its end."""
        self.start()
        for number in range(EPOCHS):
            self.epoch(number)
        self.end()

    def _tell(self, hook: str, **arguments: object) -> None:
        if (call := self.listener.calls.get(hook)) is not None:
            call(**arguments)


@contextmanager
def somewhere() -> Iterator[Path]:
    """Work in an empty folder `work`, and yield the one that holds it and one for outputs."""
    with (
        tempfile.TemporaryDirectory(prefix="gendkit-check-") as name,
        open(os.devnull, encoding="utf-8") as nobody,
    ):
        root = Path(name).resolve()
        for folder in ("work", "outputs"):
            (root / folder).mkdir()
        stdin, sys.stdin = sys.stdin, nobody
        try:
            with contextlib.chdir(root / "work"):
                yield root
        finally:
            sys.stdin = stdin


def observe(listener: Listener) -> Observed:
    """Tell a tracker of a whole run, and keep what can be seen of what it does."""
    seen = Observed()
    with somewhere() as root:
        told = Told(listener, run_info(root / "outputs" / "run"))
        last = [epoch_ended(number) for number in range(EPOCHS)]
        events: list[tuple[str, Any, Callable[[], None]]] = [("the start", None, told.start)]
        for at, event in enumerate(last):
            tell = _telling(told, at, event)
            events.append((f"epoch {at}", event, tell))
        end = fit_ended(told.run)
        events.append(("the end", end, lambda: told.end(end)))
        seen.before = _state()
        try:
            for name, event, tell in events:
                copies = copy.deepcopy((told.run, event))
                seen.trees["before the end"] = tree_of(root)
                tell()
                seen.told[name] = copies == (told.run, event)
        except NotHere:
            raise
        except (Exception, SystemExit) as error:  # code of a plugin
            seen.error = error
        seen.after = _state()
        seen.trees["after the end"] = tree_of(root)
    return seen


def _telling(told: Told, at: int, event: EpochEnded) -> Callable[[], None]:
    return lambda: told.epoch(at, told=event)


def tree_of(root: Path) -> Tree:
    """Return what is in a folder; links are not followed."""
    found = {}
    for path in sorted(root.rglob("*")):
        whole = path.is_file() and not path.is_symlink()
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if whole else ""
        found[path.relative_to(root).as_posix()] = digest
    return found


def _state() -> dict[str, Any]:
    """Return settings and states of the process that are nobody's to change."""
    root, own = logging.getLogger(), logging.getLogger("gendkit")
    return {
        "random state of torch": torch.get_rng_state(),
        "random state of numpy": np.random.get_state(),  # noqa: NPY002
        "random state of Python": random.getstate(),
        "torch's default dtype": torch.get_default_dtype(),
        "torch's default device": torch.get_default_device(),
        "torch's gradient mode": torch.is_grad_enabled(),
        "torch's deterministic mode": torch.are_deterministic_algorithms_enabled(),
        "torch's number of threads": torch.get_num_threads(),
        "torch's precision of products": torch.get_float32_matmul_precision(),
        "torch's anomaly mode": torch.is_anomaly_enabled(),
        "torch's choice of convolutions": torch.backends.cudnn.benchmark,
        "logging's level": (root.level, own.level, logging.root.manager.disable),
        "logging's handlers": (list(root.handlers), list(own.handlers), own.propagate),
        "warnings' filters": list(warnings.filters),
        "home folder": sorted(os.listdir(Path.home())) if Path.home().is_dir() else [],
    }


def _equal(a: Any, b: Any) -> bool:
    """Compare states, which may hold arrays and tensors."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.equal(a, b)
    if isinstance(a, np.ndarray):
        return bool(np.array_equal(a, b))
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(_equal(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)

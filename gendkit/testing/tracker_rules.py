"""Rules about trackers: they hear every kind of run to its end, and change nothing about it.

A tracker is told of runs that nobody made: three epochs of a small recipe, in a temporary working
directory, with the output in another folder beside it. It does what it always does: one that
writes to a service writes there, unless its own settings, such as WANDB_MODE=offline, say
otherwise. Nobody answers if it asks for input. One that raises `MissingService` or
`MissingDependency` when a run starts cannot be tried here.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from gendkit.plugin.calls import Listener
from gendkit.plugin.parts import BUILTIN
from gendkit.testing.rules import demand
from gendkit.testing.tracker_runs import (
    ADAPTER,
    EPOCHS,
    FAILED,
    INTERRUPTED,
    STEPS,
    Observed,
    Told,
    Tree,
    observe,
    run_info,
    somewhere,
    tree_of,
)
from gendkit.train.course import HISTORY, MOVEMENT, RECORD

ALIKE = 0.1
"""How far the bytes that are kept of two equal runs may differ, relative to the larger number."""

SETTLED = 5.0
"""Seconds after which what is kept of a run has to be in its files."""


class TrackerUnderCheck:
    """A tracker, told of one whole run in which all is observed.

    Parameters
    ----------
    listener
        What of its plugin hears telling hooks.
    """

    def __init__(self, listener: Listener) -> None:
        self.listener = listener

    @property
    def owns(self) -> tuple[str, ...]:
        """The files that it may write into a run's output: gendkit's own log keeps its there."""
        return (HISTORY, MOVEMENT) if self.listener.source.plugin == BUILTIN else ()

    @cached_property
    def observed(self) -> Observed:
        """What it did in a whole run that ended well."""
        return observe(self.listener)


def hears_a_whole_run(tracker: TrackerUnderCheck) -> None:
    """Told of a run from its start over three epochs to its end, it raises nothing."""
    error = tracker.observed.error
    demand(error is None, f"it raised {type(error).__name__}: {error}")


def hears_a_run_without_output(tracker: TrackerUnderCheck) -> None:
    """Told of a run that writes no output, it raises nothing."""
    with somewhere():
        Told(tracker.listener, run_info(None)).whole()


def hears_a_run_that_is_interrupted(tracker: TrackerUnderCheck) -> None:
    """Told of a run that the user interrupts after an epoch, it raises nothing."""
    with somewhere() as root:
        told = Told(tracker.listener, run_info(root / "outputs" / "run"))
        told.start()
        told.epoch(0)
        told.end(INTERRUPTED)


def hears_a_run_that_goes_on(tracker: TrackerUnderCheck) -> None:
    """Told of an interrupted run, and then of the one that goes on with it, it raises nothing."""
    with somewhere() as root:
        out = root / "outputs" / "run"
        told = Told(tracker.listener, run_info(out))
        told.start()
        told.epoch(0)
        told.end(INTERRUPTED)
        told = Told(tracker.listener, run_info(out, resumed_from=STEPS // EPOCHS))
        told.start()
        for number in range(1, EPOCHS):
            told.epoch(number)
        told.end()


def hears_a_run_that_fails_at_once(tracker: TrackerUnderCheck) -> None:
    """Told of a run that fails before its first epoch has ended, it raises nothing."""
    with somewhere() as root:
        told = Told(tracker.listener, run_info(root / "outputs" / "run"))
        told.start()
        told.end(FAILED)


def keeps_two_runs_apart(tracker: TrackerUnderCheck) -> None:
    """Of two equal runs at once, told in turn, it keeps as much beside the one as the other.

    They share name and recipe, and have outputs in two folders. A tracker that keeps nothing beside
    outputs is only asked to raise nothing.
    """
    with somewhere() as root:
        folders = [root / "outputs" / name for name in ("one", "two")]
        runs = []
        for folder in folders:
            folder.mkdir()
            runs.append(Told(tracker.listener, run_info(folder / "run")))
        for run in runs:
            run.start()
        for number in range(EPOCHS):
            for run in runs:
                run.epoch(number)
        runs[1].end()
        runs[0].end()
        # A library may still be writing from a process of its own.
        last = time.monotonic() + SETTLED
        while not (alike := _alike(kept := [_kept(f) for f in folders])):
            if time.monotonic() > last:
                break
            time.sleep(0.1)
    (files, size), (other_files, other_size) = kept
    demand(
        alike,
        f"of two equal runs that were told in turn it kept {files} files of {size:,} bytes beside "
        f"the first output and {other_files} of {other_size:,} beside the second; keep what "
        "belongs to a run by the run, such as in a dictionary by id(run).",
    )


def leaves_what_it_is_told(tracker: TrackerUnderCheck) -> None:
    """It changes nothing in the values that it is told, which others are told too."""
    changed = [name for name, same in tracker.observed.told.items() if not same]
    demand(not changed, f"it changed what it was told of {', '.join(changed)}; work on a copy.")


def leaves_random_states(tracker: TrackerUnderCheck) -> None:
    """It draws from and seeds no global random state: torch's, numpy's or Python's."""
    changed = tracker.observed.changed("random state")
    demand(
        not changed,
        f"it changed the {' and the '.join(changed)}; draw from a generator of its own.",
    )


def leaves_torch_as_it_is(tracker: TrackerUnderCheck) -> None:
    """It changes no global setting of torch, such as the default dtype or the gradient mode."""
    changed = tracker.observed.changed("torch")
    demand(not changed, f"it changed {', '.join(changed)}.")


def leaves_logging_and_warnings(tracker: TrackerUnderCheck) -> None:
    """It changes neither the root logger and gendkit's, nor the filters of warnings."""
    changed = tracker.observed.changed("logging") + tracker.observed.changed("warnings")
    demand(
        not changed,
        f"it changed {', '.join(changed)}; where a library does so when it is imported, import it "
        "inside warnings.catch_warnings().",
    )


def leaves_the_output_to_the_run(tracker: TrackerUnderCheck) -> None:
    """It neither makes the run's output folder nor writes into it; beside it is room.

    Only gendkit's own log adds its two tables when a run has ended well.
    """
    trees = tracker.observed.trees
    early = _inside(trees["before the end"])
    demand(
        not early,
        f"it made {early[0] if early else ''} while the run went on, which the run then cannot "
        "write; write beside it.",
    )
    if tracker.observed.error is None:
        late = {name: trees["after the end"][name] for name in _inside(trees["after the end"])}
        theirs = hashlib.sha256(b"{}").hexdigest()
        expected = {"outputs/run": "", **{f"outputs/run/{n}": theirs for n in (RECORD, ADAPTER)}}
        for name in set(late) - {f"outputs/run/{own}" for own in tracker.owns}:
            demand(name in expected, f"it wrote {name}; write beside the output.")
        for name, digest in expected.items():
            demand(late.get(name) == digest, f"it changed or removed {name}.")
    with somewhere() as root:
        told = Told(tracker.listener, run_info(root / "outputs" / "run"))
        with contextlib.suppress(Exception):  # code of a plugin: what it raises, others say
            told.start()
            told.end(FAILED)
        there = _inside(tree_of(root))
    demand(not there, f"it made {there[0] if there else ''} though the run failed.")


def writes_only_beside_the_output(tracker: TrackerUnderCheck) -> None:
    """It writes nowhere but in the folder that holds the output, and in the working directory.

    Looked at are the folder that holds both and the home folder, of which new names count.
    """
    stray = [
        name
        for name in tracker.observed.trees["after the end"]
        if name.partition("/")[0] not in ("work", "outputs")
    ]
    demand(not stray, f"it wrote {', '.join(stray[:3])} outside the folder of the output.")
    added = tracker.observed.changed("home")
    demand(not added, f"it wrote into the home folder {Path.home()}.")


RULES = (
    hears_a_whole_run,
    hears_a_run_without_output,
    hears_a_run_that_is_interrupted,
    hears_a_run_that_goes_on,
    hears_a_run_that_fails_at_once,
    keeps_two_runs_apart,
    leaves_what_it_is_told,
    leaves_random_states,
    leaves_torch_as_it_is,
    leaves_logging_and_warnings,
    leaves_the_output_to_the_run,
    writes_only_beside_the_output,
)


def _inside(tree: Tree) -> list[str]:
    return [name for name in tree if f"{name}/".startswith("outputs/run/")]


def _alike(kept: Sequence[tuple[int, int]]) -> bool:
    (files, size), (other_files, other_size) = kept
    return files == other_files and abs(size - other_size) <= ALIKE * max(size, other_size)


def _kept(folder: Path) -> tuple[int, int]:
    """Return how many files are beside the output `run` in a folder, or in it, and their bytes."""
    files = [p for p in folder.rglob("*") if p.is_file() and not p.is_symlink()]
    return len(files), sum(path.stat().st_size for path in files)

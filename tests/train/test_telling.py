"""Plugins are told how a run goes, and change nothing about it."""

from __future__ import annotations

import csv
import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch

import gendkit as gk
from gendkit.errors import Diverged, InvalidManifest, UnknownPart, UnwritableOutput
from gendkit.plugin import EpochEnded, FitEnded, RunInfo, hookimpl
from gendkit.plugin.calls import Listener
from gendkit.plugin.manager import Plugins, plugins
from gendkit.plugin.parts import Source
from gendkit.train.course import HISTORY, MOVEMENT, log_paths
from gendkit.train.recipe import Recipe
from gendkit.train.telling import listeners_of

from .conftest import Fit, Sets


class Notes:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.runs: list[RunInfo] = []
        self.epochs: list[EpochEnded] = []
        self.ends: list[FitEnded] = []

    @hookimpl
    def gendkit_fit_started(self, run: RunInfo) -> None:
        self.runs.append(run)

    @hookimpl
    def gendkit_epoch_ended(self, epoch: EpochEnded) -> None:
        self.epochs.append(epoch)

    @hookimpl
    def gendkit_fit_ended(self, run: RunInfo, end: FitEnded) -> None:
        assert run is self.runs[-1]
        self.ends.append(end)


def rows(path: Path) -> list[dict[str, float]]:
    with path.open(encoding="utf-8") as file:
        return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]


def test_a_registered_plugin_is_told_the_run_from_start_to_end(fit: Fit, tmp_path: Path) -> None:
    notes = Notes()
    gk.register(notes)
    run = fit(out=tmp_path / "run")
    (started,) = notes.runs
    assert started.recipe == run.record["recipe"]
    assert started.data == run.record["data"]
    assert started.versions == run.record["versions"]
    assert (started.epochs, started.resumed_from, started.ranks) == (2, 0, 1)
    assert started.out == tmp_path / "run"
    assert [epoch.number for epoch in notes.epochs] == [0, 1]
    assert [dict(row) for row in notes.epochs[-1].history] == run.record["history"]
    assert notes.epochs[-1].chosen == run.record["chosen_epoch"]
    assert set(notes.epochs[-1].movement) == set(run.layers["layer"])
    assert all(value > 0 for value in notes.epochs[-1].movement.values())
    assert [(end.outcome, end.record) for end in notes.ends] == [("finished", run.record)]


class Silent(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("no room"), "ValueError: no room"),
        (SystemExit(3), "SystemExit: 3"),
        (Silent(), "Silent"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_plugin_that_fails_is_told_no_more_and_changes_no_number(
    error: BaseException, words: str, fit: Fit, caplog: pytest.LogCaptureFixture
) -> None:
    before = fit().adapter.hash
    calls: list[str] = []

    class Faulty:
        @hookimpl
        def gendkit_fit_started(self, run: RunInfo) -> None:
            torch.manual_seed(1)  # as a careless one might
            calls.append("started")
            raise error

        @hookimpl
        def gendkit_epoch_ended(self) -> None:
            calls.append("epoch")

    notes = Notes()
    gk.register(Faulty)
    gk.register(notes)
    with caplog.at_level(logging.WARNING, "gendkit"):
        assert fit().adapter.hash == before
    assert calls == ["started"]
    assert len(notes.epochs) == 2
    (message,) = [r.getMessage() for r in caplog.records if "tracker" in r.getMessage()]
    assert message.startswith("tracker Faulty (registered here) failed in gendkit_fit_started")
    assert message.endswith(f"is told no more of this run: {words}")


def test_an_interrupt_in_a_plugin_is_the_user_s(fit: Fit) -> None:
    class Stopped:
        @hookimpl
        def gendkit_epoch_ended(self) -> None:
            raise KeyboardInterrupt

    notes = Notes()
    gk.register(Stopped)
    gk.register(notes)
    with pytest.raises(KeyboardInterrupt):
        fit()
    assert [end.outcome for end in notes.ends] == ["interrupted"]


def test_a_run_that_diverges_is_told_as_failed(fit: Fit, tmp_path: Path) -> None:
    notes = Notes()
    gk.register(notes)
    with pytest.raises(Diverged):
        fit(out=tmp_path / "run", learning_rate=1e30, min_learning_rate=1e30)
    (end,) = notes.ends
    assert end.outcome == "failed"
    assert end.reason.startswith("Diverged: ")
    assert end.record is None
    log = json.loads(log_paths(tmp_path / "run")[1].read_text())
    assert (log["outcome"], log["reason"]) == (end.outcome, end.reason)


def test_the_log_grows_beside_the_output_and_ends_in_it(fit: Fit, tmp_path: Path) -> None:
    out = tmp_path / "run"
    seen: list[list[dict[str, float]]] = []

    class Looks:
        @hookimpl
        def gendkit_epoch_ended(self) -> None:
            seen.append(rows(log_paths(out)[0]))

    gk.register(Looks)
    run = fit(out=out)
    assert [len(part) for part in seen] == [1, 2]
    assert {p.name for p in out.iterdir()} == {
        *("adapter.safetensors", "run.json"),
        *(HISTORY, MOVEMENT),
    }
    assert {p.name for p in tmp_path.iterdir() if "run" in p.name} == {"run"}
    assert rows(out / HISTORY) == seen[-1] == [dict(row) for row in run.record["history"]]


def test_the_log_of_a_resumed_run_has_each_epoch_once(
    recipe: Recipe, sets: Sets, tmp_path: Path
) -> None:
    out = tmp_path / "run"

    def stop(done: int, total: int, text: str) -> None:
        if text.startswith("train") and done == total - 1:
            raise KeyboardInterrupt

    arguments: dict[str, Any] = {"out": out, "device": "cpu"}
    with pytest.raises(KeyboardInterrupt):
        gk.fit(recipe, sets.train, sets.validation, progress=stop, **arguments)
    log = json.loads(log_paths(out)[1].read_text())
    assert log["outcome"] == "interrupted"
    assert [row["epoch"] for row in log["history"]] == [0]
    notes = Notes()
    gk.register(notes)
    gk.fit(recipe, sets.train, sets.validation, resume=True, progress=lambda *_: None, **arguments)
    assert notes.runs[0].resumed_from == 4
    assert [epoch.number for epoch in notes.epochs] == [1]
    assert [row["epoch"] for row in rows(out / HISTORY)] == [0, 1]


def test_a_log_that_cannot_be_written_stops_no_run(
    fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gendkit.builtin.run_log.write_whole", full)
    fit(out=tmp_path / "run")
    assert "No space left on device" in caplog.text
    assert (tmp_path / "run" / "run.json").exists()


def test_a_run_that_cannot_be_written_is_told_as_failed(
    fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    notes = Notes()
    gk.register(notes)
    monkeypatch.setattr("gendkit.model.adapter.write_whole", full)
    with pytest.raises(UnwritableOutput):
        fit(out=tmp_path / "run")
    assert [end.outcome for end in notes.ends] == ["failed"]


def test_an_installed_plugin_is_told_only_if_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source(plugin="curves", distribution="gendkit-curves", version="1")
    installed = Listener(source=source, calls={"gendkit_fit_started": lambda **_: None})
    own = plugins().listeners
    monkeypatch.setattr(Plugins, "listeners", property(lambda self: (*own, installed)))
    assert installed not in listeners_of(())
    assert installed in listeners_of(["curves"])
    assert next(item.source.plugin for item in listeners_of(())) == "gendkit.builtin"
    with pytest.raises(UnknownPart, match=r"no tracker is named 'curve'; there is .*curves\."):
        listeners_of(["curve"])


def test_an_unknown_tracker_is_refused_before_anything_is_done(
    recipe: Recipe, sets: Sets, tmp_path: Path
) -> None:
    with pytest.raises(UnknownPart, match="no tracker is named 'nothing'"):
        gk.fit(recipe, sets.train, sets.validation, out=tmp_path / "run", trackers=["nothing"])
    assert not list(tmp_path.glob("*run*"))


def test_a_plugin_with_an_argument_that_no_hook_has_is_refused() -> None:
    class Asks:
        @hookimpl
        def gendkit_epoch_ended(self, loss: float) -> None:
            """Not an argument of the hook."""

    with pytest.raises(gk.errors.InvalidSpec, match=r"'Asks'.*loss"):
        gk.register(Asks)


@pytest.mark.parametrize("which", ["train", "validation"])
def test_the_final_split_can_be_neither_trained_nor_chosen_on(
    which: str, recipe: Recipe, sets: Sets
) -> None:
    given = {"train": sets.train, "validation": sets.validation}
    table = given[which].table.copy()
    table.loc[table.index[:3], "split"] = "final"
    given[which] = type(sets.train)(table=table, root=given[which].root)
    with pytest.raises(InvalidManifest, match=f"the {which} manifest has 3 crops of the split"):
        gk.fit(recipe, given["train"], given["validation"])

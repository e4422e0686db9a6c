"""Every rule about trackers can be broken, and gendkit's own log keeps them all."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from gendkit.errors import MissingService
from gendkit.plugin import EpochEnded, FitEnded, RunInfo, hookimpl
from gendkit.plugin.manager import BUILTIN, Plugins
from gendkit.testing import tracker_rules as rules
from gendkit.testing.tracker_rules import RULES, TrackerUnderCheck

from .trying import RuleFunction, broken, rule_functions, tried


class Notes:
    """Keeps the rows of each run in a file beside its output."""

    def __init__(self) -> None:
        self.paths: dict[int, Path] = {}

    @hookimpl
    def gendkit_fit_started(self, run: RunInfo) -> None:
        self.start(run)

    @hookimpl
    def gendkit_epoch_ended(self, run: RunInfo, epoch: EpochEnded) -> None:
        self.epoch(run, epoch)

    @hookimpl
    def gendkit_fit_ended(self, run: RunInfo, end: FitEnded) -> None:
        self.end(run, end)

    def start(self, run: RunInfo) -> None:
        self.paths[id(run)] = self.place(run)
        self.write(run, run.recipe)

    def epoch(self, run: RunInfo, epoch: EpochEnded) -> None:
        self.write(run, epoch.row)

    def end(self, run: RunInfo, end: FitEnded) -> None:
        self.write(run, {"outcome": end.outcome})
        del self.paths[id(run)]

    def place(self, run: RunInfo) -> Path:
        if run.out is None:
            return Path(f"{run.name}.jsonl")
        return run.out.with_name(f"{run.out.name}.jsonl")

    def write(self, run: RunInfo, row: Mapping[str, Any]) -> None:
        with self.paths[id(run)].open("a") as file:
            file.write(f"{json.dumps(row)}\n")


class FailsOnce(Notes):
    """Fails at the first last epoch that it is told of."""

    failed = False

    def epoch(self, run: RunInfo, epoch: EpochEnded) -> None:
        if epoch.number == 2 and not self.failed:
            self.failed = True
            raise ConnectionError("no luck")
        super().epoch(run, epoch)


class NeedsAnOutput(Notes):
    def place(self, run: RunInfo) -> Path:
        return run.out.with_suffix(".jsonl")  # type: ignore[union-attr]


class NeverStops(Notes):
    """Fails when it is first interrupted."""

    failed = False

    def end(self, run: RunInfo, end: FitEnded) -> None:
        if end.outcome == "interrupted" and not self.failed:
            self.failed = True
            raise ValueError("unknown outcome 'interrupted'")
        super().end(run, end)


class BeginsAtZero(Notes):
    def start(self, run: RunInfo) -> None:
        if run.resumed_from:
            raise RuntimeError("step 4 after step 0")
        super().start(run)


class NeedsAnEpoch(Notes):
    def epoch(self, run: RunInfo, epoch: EpochEnded) -> None:
        super().epoch(run, epoch)
        self.last = {**getattr(self, "last", {}), id(run): epoch}

    def end(self, run: RunInfo, end: FitEnded) -> None:
        super().end(run, end)
        self.last.pop(id(run))


class KeepsOne(Notes):
    """Has room for one run."""

    def start(self, run: RunInfo) -> None:
        self.path = self.place(run)
        super().start(run)

    def write(self, run: RunInfo, row: Mapping[str, Any]) -> None:
        with self.path.open("a") as file:
            file.write(f"{json.dumps(row)}\n")


class Rounds(Notes):
    def epoch(self, run: RunInfo, epoch: EpochEnded) -> None:
        for name, value in epoch.row.items():
            epoch.row[name] = round(value, 1)  # type: ignore[index]
        super().epoch(run, epoch)


class Seeds(Notes):
    def start(self, run: RunInfo) -> None:
        torch.manual_seed(7)
        super().start(run)


class SwitchesOff(Notes):
    def end(self, run: RunInfo, end: FitEnded) -> None:
        torch.set_grad_enabled(False)
        super().end(run, end)


class TalksMore(Notes):
    def start(self, run: RunInfo) -> None:
        logging.getLogger("gendkit").setLevel(logging.ERROR)
        super().start(run)


class MakesTheOutput(Notes):
    def start(self, run: RunInfo) -> None:
        if run.out is not None:
            run.out.mkdir(exist_ok=True)
        super().start(run)


class WritesIntoTheOutput(Notes):
    def end(self, run: RunInfo, end: FitEnded) -> None:
        if run.out is not None and end.outcome == "finished":
            (run.out / "notes.txt").write_text("well done")
        super().end(run, end)


class WritesOverTheRecord(Notes):
    def end(self, run: RunInfo, end: FitEnded) -> None:
        if run.out is not None and end.outcome == "finished":
            (run.out / "run.json").write_text("{}\n")
        super().end(run, end)


class KeepsFailures(Notes):
    def end(self, run: RunInfo, end: FitEnded) -> None:
        if run.out is not None and end.outcome == "failed":
            run.out.mkdir()
        super().end(run, end)


class Strays(Notes):
    def start(self, run: RunInfo) -> None:
        super().start(run)
        if run.out is not None:
            (run.out.parent.parent / "all-runs.txt").write_text(run.name)


WRONG: Mapping[RuleFunction, tuple[type[Notes], str]] = {
    rules.hears_a_whole_run: (FailsOnce, "it raised ConnectionError: no luck"),
    rules.hears_a_run_without_output: (NeedsAnOutput, "AttributeError: 'NoneType' object"),
    rules.hears_a_run_that_is_interrupted: (NeverStops, "unknown outcome 'interrupted'"),
    rules.hears_a_run_that_goes_on: (BeginsAtZero, "step 4 after step 0"),
    rules.hears_a_run_that_fails_at_once: (NeedsAnEpoch, "KeyError: "),
    rules.keeps_two_runs_apart: (KeepsOne, "of two equal runs that were told in turn it kept"),
    rules.leaves_what_it_is_told: (Rounds, "what it was told of epoch 0, epoch 1, epoch 2"),
    rules.leaves_random_states: (Seeds, "it changed the random state of torch"),
    rules.leaves_torch_as_it_is: (SwitchesOff, "it changed torch's gradient mode"),
    rules.leaves_logging_and_warnings: (TalksMore, "it changed logging's level"),
    rules.leaves_the_output_to_the_run: (MakesTheOutput, "it made outputs/run while the run went"),
    rules.writes_only_beside_the_output: (Strays, "it wrote all-runs.txt outside the folder"),
}


def under_check(plugin: object) -> TrackerUnderCheck:
    found = Plugins(discover=False)
    found.register(plugin, name="it")
    return TrackerUnderCheck(found.listeners[-1])


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put back what wrong ones change, and wait for none of their files."""
    monkeypatch.setattr(rules, "SETTLED", 0.0)
    logger = logging.getLogger("gendkit")
    level = logger.level
    with torch.random.fork_rng(devices=[]):
        yield
    torch.set_grad_enabled(True)
    logger.setLevel(level)


@pytest.mark.parametrize("rule", WRONG, ids=lambda rule: rule.__name__)
def test_each_wrong_one_breaks_its_rule_alone(rule: RuleFunction) -> None:
    kind, words = WRONG[rule]
    found = broken(tried("tracker", under_check(kind())))
    assert set(found) == {rule.__name__}, found
    assert words in found[rule.__name__]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (WritesIntoTheOutput, "it wrote outputs/run/notes.txt; write beside the output"),
        (WritesOverTheRecord, "it changed or removed outputs/run/run.json"),
        (KeepsFailures, "it made outputs/run though the run failed"),
    ],
)
def test_an_output_is_the_run_s_at_every_time(kind: type[Notes], words: str) -> None:
    found = broken(tried("tracker", under_check(kind())))
    assert list(found) == ["leaves_the_output_to_the_run"]
    assert words in found["leaves_the_output_to_the_run"]


def test_a_right_one_keeps_every_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = tried("tracker", under_check(Notes()))
    assert {o.verdict for o in found.values()} == {"kept"}, broken(found)
    assert list(tmp_path.iterdir()) == [], "it works in a folder that is removed"


def test_one_whose_service_is_not_to_be_had_is_left_out() -> None:
    class Away(Notes):
        def start(self, run: RunInfo) -> None:
            raise MissingService("log in first")

    found = tried("tracker", under_check(Away()))
    assert {o.verdict for o in found.values()} == {"left out"}
    assert {o.reason for o in found.values()} == {"it cannot be tried here: log in first"}


def test_one_that_asks_for_input_is_not_waited_for() -> None:
    class Asks(Notes):
        def start(self, run: RunInfo) -> None:
            input("your name: ")

    assert "EOFError" in broken(tried("tracker", under_check(Asks())))["hears_a_whole_run"]


def test_the_built_in_log_keeps_every_rule() -> None:
    (log,) = (x for x in Plugins(discover=False).listeners if x.source.plugin == BUILTIN)
    found = tried("tracker", TrackerUnderCheck(log))
    assert {o.verdict for o in found.values()} == {"kept"}, broken(found)


def test_every_rule_is_listed_and_has_a_wrong_one() -> None:
    assert set(RULES) == rule_functions("tracker")
    assert set(WRONG) == set(RULES)
    assert len(RULES) == len(set(RULES))

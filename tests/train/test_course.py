"""How far a run has come, by its folder, its log, and the run itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import gendkit as gk
from gendkit.errors import MissingMedia, UnreadableMedia
from gendkit.plugin import hookimpl
from gendkit.train.course import MOVEMENT, Course, log_paths

from .conftest import Fit


def test_a_folder_tells_what_the_run_itself_tells(fit: Fit, tmp_path: Path) -> None:
    run = fit(out=tmp_path / "run")
    told, read = Course.of_run(run), Course.read(tmp_path / "run")
    assert read.history == told.history
    assert (read.chosen, read.epochs, read.outcome) == (told.chosen, 2, "finished")
    assert read.losses == ("cross-entropy", "uniformity", "alignment")
    (chosen,) = [row for row in read.movement if row["epoch"] == run.record["chosen_epoch"]]
    assert chosen == pytest.approx(dict(told.movement[0]))
    assert list(chosen)[1:] == run.layers["layer"].tolist()


def test_a_run_that_goes_on_is_read_from_its_log(fit: Fit, tmp_path: Path) -> None:
    seen: list[Course] = []

    class Looks:
        @hookimpl
        def gendkit_fit_started(self) -> None:
            seen.append(Course.read(tmp_path / "run"))

        @hookimpl
        def gendkit_epoch_ended(self) -> None:
            seen.append(Course.read(tmp_path / "run"))

    gk.register(Looks)
    fit(out=tmp_path / "run")
    assert [len(course.history) for course in seen] == [0, 1, 2]
    assert [len(course.movement) for course in seen] == [0, 1, 2]
    assert [course.outcome for course in seen] == ["running"] * 3
    assert [course.chosen is None for course in seen] == [True, False, False]


def test_the_log_of_a_later_run_comes_before_the_earlier_run_s_record(
    fit: Fit, tmp_path: Path
) -> None:
    class Stops:
        @hookimpl
        def gendkit_epoch_ended(self) -> None:
            raise KeyboardInterrupt

    fit(out=tmp_path / "run")
    gk.register(Stops)
    with pytest.raises(KeyboardInterrupt):
        fit(out=tmp_path / "run", overwrite=True)
    course = Course.read(tmp_path / "run")
    assert (course.outcome, len(course.history)) == ("interrupted", 1)


def test_a_run_without_movements_of_its_own_is_still_read(fit: Fit, tmp_path: Path) -> None:
    fit(out=tmp_path / "run")
    (tmp_path / "run" / MOVEMENT).unlink()
    assert Course.read(tmp_path / "run").movement == ()


def test_where_there_is_no_run_the_error_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(MissingMedia, match=r"run\.json.*\.nothing-log\.json"):
        Course.read(tmp_path / "nothing")


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"recipe": {"name": "a"}}'])
def test_a_damaged_record_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(UnreadableMedia, match="is no record of a run"):
        Course.read(tmp_path)
    log = log_paths(tmp_path / "other")[1]
    log.write_text(json.dumps({"run": {}}))
    with pytest.raises(UnreadableMedia, match="is no record of a run"):
        Course.read(tmp_path / "other")

"""`gendkit score --reals`: files are called by clips known to be real, corrected for people."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .test_score import Halves

Run = Callable[..., Any]
CALLED = ["called", "called_above", "corrected_for", "fpr", "reals"]


@pytest.fixture
def halves(toys: None) -> None:
    """An extractor that sees two people in every picture."""
    from gendkit.plugin import FaceExtractorSpec, register

    register(
        FaceExtractorSpec(
            name="halves", summary="for tests", licence="none", threshold=0.5,
            build=lambda *, threshold=0.5: Halves(),
        )
    )  # fmt: skip


@pytest.fixture
def ask(halves: None, adapter: Path, picture: Path) -> list[Any]:
    return ["score", picture, "--adapter", adapter, "--extractor", "halves"]


@pytest.fixture
def reals(gendkit: Run, ask: list[Any], tmp_path: Path) -> Callable[..., Path]:
    """Write a table as this command does, of as many clips as scores are given."""
    table = list(csv.DictReader(io.StringIO(gendkit(*ask, "--csv").out)))

    def write(scores: list[Any], **changes: str) -> Path:
        path = tmp_path / "reals.csv"
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, table[0].keys())
            writer.writeheader()
            for number, score in enumerate(scores):
                row = {**table[0], "path": f"{number}.png", "score": score, **changes}
                writer.writerow(row)
        return path

    return write


def test_a_file_is_called_by_how_many_people_were_examined(
    gendkit: Run, ask: list[Any], reals: Callable[..., Path]
) -> None:
    (plain,) = json.loads(gendkit(*ask, "--which", "all", "--json").out)
    assert not set(CALLED) & set(plain)
    score = plain["score"]
    # 4 of 99 real clips score higher: few enough for one person at 5 %, too many for two.
    low, high = [0.0] * 95, [min(1.0, score + 0.01)] * 4
    file = reals(low + high)
    (one,) = json.loads(gendkit(*ask, "--json", "--reals", file).out)
    assert [one[name] for name in CALLED] == ["fake", 0.0, 1, 0.05, 99]
    file = reals(low + high, which="all")
    (two,) = json.loads(gendkit(*ask, "--which", "all", "--json", "--reals", file).out)
    assert [two[name] for name in CALLED] == ["not fake", high[0], 2, 0.05, 99]
    assert {key: two[key] for key in plain if key != "seconds"} == {
        key: plain[key] for key in plain if key != "seconds"
    }
    (more,) = json.loads(
        gendkit(*ask, "--which", "all", "--json", "--reals", file, "--fpr", "0.2").out
    )
    assert [more[name] for name in CALLED] == ["fake", 0.0, 2, 0.2, 99]


def test_the_table_and_csv_say_it_too(
    gendkit: Run, ask: list[Any], reals: Callable[..., Path]
) -> None:
    file = reals([0.0] * 60, which="all")
    said = gendkit(*ask, "--which", "all", "--reals", file)
    assert said.code == 0, said.err
    header, row, *people = said.out.splitlines()
    assert header.split()[:4] == ["file", "score", "called", "above"]
    assert row.split()[2:4] == ["fake", "0.000"]
    assert [line.split()[3:5] for line in people] == [["fake", "0.000"]] * 2
    file = reals([0.0] * 60)
    (record,) = csv.DictReader(io.StringIO(gendkit(*ask, "--csv", "--reals", file).out))
    assert [record[name] for name in CALLED] == ["fake", "0.0", "1", "0.05", "60"]


def test_too_few_real_clips_for_so_many_people_are_told_and_no_call_is_made(
    gendkit: Run, ask: list[Any], reals: Callable[..., Path]
) -> None:
    file = reals([0.1] * 30)
    assert gendkit(*ask, "--reals", file).code == 0
    file = reals([0.1] * 30, which="all")
    said = gendkit(*ask, "--which", "all", "--reals", file)
    assert said.code == 1
    assert "not estimable" in said.out.splitlines()[1]
    (line,) = said.complaints
    assert "30 real clips cannot show a rate of 0.0253 a person; at least 40 are needed" in line
    assert "give more --reals, or a larger --fpr" in line
    (record,) = json.loads(gendkit(*ask, "--which", "all", "--json", "--reals", file).out)
    assert [record[name] for name in CALLED] == ["not estimable", None, 2, 0.05, 30]


def test_what_was_not_examined_or_read_is_not_called(
    gendkit: Run, adapter: Path, videos: Path, picture: Path, tmp_path: Path
) -> None:
    shutil.copy(picture, tmp_path / "bright.png")
    shutil.copy(videos / "dark.mp4", tmp_path)
    (tmp_path / "text.mp4").write_text("no video\n" * 99)
    ask = ("score", tmp_path, "--adapter", adapter)
    table = gendkit(*ask, "--csv").out.splitlines()
    bright = next(line for line in table if "bright" in line)
    file = tmp_path / "reals.csv"
    rows = [bright.replace("bright.png", f"{i}.png") for i in range(25)]
    file.write_text("\n".join([table[0], *rows]))
    records = json.loads(gendkit(*ask, "--json", "--reals", file).out)
    calls = {Path(r["path"]).name: r["called"] for r in records}
    assert calls == {
        "bright.png": "not fake", "dark.mp4": "not examined", "text.mp4": "not examined"
    }  # fmt: skip
    assert len({tuple(r) for r in records}) == 1, "all rows have the same keys"
    assert "not examined" in gendkit(*ask, "--reals", file).out


def test_rows_without_one_persons_score_are_left_out_and_counted(
    gendkit: Run, ask: list[Any], reals: Callable[..., Path]
) -> None:
    file = reals([0.1] * 25 + ["", ""])
    lines = file.read_text().splitlines()
    columns = lines[0].split(",")
    cells = lines[1].split(",")
    cells[columns.index("people")], cells[0] = "3", "crowd.png"
    file.write_text("\n".join([*lines, ",".join(cells)]))
    said = gendkit(*ask, "--reals", file, "--json")
    (record,) = json.loads(said.out)
    assert record["reals"] == 25
    assert "2 of 28 rows left out, without a score" in said.err
    assert "1 of 28 rows left out, of several people" in said.err


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"adapter": "abc"}, "was scored with adapter abc, this run has "),
        ({"dtype": "bfloat16"}, "was scored with dtype bfloat16, this run has float32"),
        ({"extractor": "bright"}, "was scored with extractor bright, this run has halves"),
        ({"frames_asked": "8"}, "was scored with frames_asked 8, this run has 32"),
        ({"order": "random"}, "was scored with order random, this run has spread"),
        ({"scale": "1.5"}, "was scored with scale 1.5, this run has 1.3"),
        ({"threshold": ""}, "was scored with threshold unknown, this run has 0.5"),
        ({"path": "a.png"}, "has a.png twice; each real clip counts once"),
        ({"score": "high"}, "has the score 'high'; a score is a number from 0 to 1"),
        ({"which": "track"}, "was scored with which track, this run has largest"),
        ({"score": "nan"}, "has the score 'nan'"),
        ({"score": "1.5"}, "has the score '1.5'"),
    ],
)
def test_a_table_that_does_not_fit_this_run_is_refused(
    gendkit: Run, ask: list[Any], reals: Callable[..., Path], changes: dict[str, str], told: str
) -> None:
    said = gendkit(*ask, "--reals", reals([0.1] * 2, **changes))
    assert said.code != 0
    (line,) = said.complaints
    assert told in line


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"a,b\n1,2\n", "lacks the column path; expected a table as `gendkit score --csv`"),
        (b"\xff\xfe\x00", "cannot be read as CSV: it is no text"),
        (b"path,score,people\na.png\n", "lacks the column score"),
    ],
)
def test_a_file_that_is_no_such_table_is_refused(
    gendkit: Run, ask: list[Any], tmp_path: Path, content: bytes, told: str
) -> None:
    file = tmp_path / "odd.csv"
    file.write_bytes(content)
    said = gendkit(*ask, "--reals", file)
    assert said.code != 0
    assert told in said.err
    assert "Traceback" not in said.err


def test_an_empty_table_can_call_nothing(gendkit: Run, ask: list[Any], tmp_path: Path) -> None:
    file = tmp_path / "empty.csv"
    file.touch()
    said = gendkit(*ask, "--reals", file)
    assert said.code == 1
    assert "0 real clips cannot show a rate of 0.05" in said.err
    assert "there is no file" in gendkit(*ask, "--reals", tmp_path / "none.csv").err


@pytest.mark.parametrize("rate", ["0", "1", "-0.1", "nan", "two"])
def test_a_rate_that_is_no_share_is_refused(gendkit: Run, ask: list[Any], rate: str) -> None:
    said = gendkit(*ask, "--fpr", rate, "--reals", "reals.csv")
    assert said.code == 2


def test_options_that_would_do_nothing_are_refused(gendkit: Run, ask: list[Any]) -> None:
    assert "--fpr is about --reals" in gendkit(*ask, "--fpr", "0.1").err
    said = gendkit(*ask, "--per-frame", "--csv", "--reals", "reals.csv")
    assert said.code == 2
    assert "give --reals without --per-frame" in said.err

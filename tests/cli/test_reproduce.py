"""`gendkit reproduce`: exit code 0 if all digits are the same, else 1 and which are not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gendkit.testing.small import small_crops

Run = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("toys")
FIELDS = {
    "backbone": "toy", "dtype": "float32", "batch_size": 8, "epochs": 2, "augmentation": "none",
    "learning_rate": 0.01, "selection": {"data": "cem", "metric": "auroc"},
}  # fmt: skip


@pytest.fixture
def run(gendkit: Run, tmp_path: Path) -> tuple[Any, ...]:
    (tmp_path / "crops").mkdir()
    small_crops(tmp_path / "crops", identities=("ann", "bob"), split="train")
    (tmp_path / "others").mkdir()
    small_crops(tmp_path / "others", identities=("cem", "dee"), split="development", seed=1)
    (tmp_path / "tiny.yaml").write_text(json.dumps(FIELDS))
    given = ("--train", tmp_path / "crops", "--val", tmp_path / "others")
    said = gendkit("train", tmp_path / "tiny.yaml", *given, "--out", tmp_path / "run",
                   "--device", "cpu")  # fmt: skip
    assert said.code == 0, said.err
    return tmp_path / "run", *given


def test_the_same_digits_are_exit_code_0_and_others_are_named_with_1(
    gendkit: Run, run: tuple[Any, ...], tmp_path: Path
) -> None:
    said = gendkit("reproduce", *run, "--out", tmp_path / "again")
    assert said.code == 0, said.err
    assert said.out.startswith("all digits of ")
    assert (tmp_path / "again" / "adapter.safetensors").is_file()
    path = run[0] / "run.json"
    record = json.loads(path.read_text())
    record["history"][0]["loss"] += 0.001
    record["versions"]["numpy"] = "0.1"
    path.write_text(json.dumps(record))
    said = gendkit("reproduce", *run)
    assert said.code == 1, said.err
    assert said.out.splitlines()[1].startswith("history/0/loss")
    assert "numpy was 0.1, is " in said.out
    assert said.out.splitlines()[-1].startswith("1 of ")
    said = gendkit("reproduce", *run, "--json")
    assert said.code == 1
    assert [d["what"] for d in json.loads(said.out)["differences"]] == ["history/0/loss"]


def test_other_crops_are_told_of_in_one_line(
    gendkit: Run, run: tuple[Any, ...], tmp_path: Path
) -> None:
    said = gendkit("reproduce", run[0], "--train", tmp_path / "others", "--val", tmp_path / "crops")
    assert said.code == 1
    assert len(said.complaints) == 1
    assert "the train manifest is not that of the run" in said.err

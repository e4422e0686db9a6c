"""Two processes that share a batch take the step of one; one that is lost ends the run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from gendkit.errors import InvalidArgument, InvalidRecipe, MissingDependency
from gendkit.model.adapter import Adapter
from gendkit.testing.small import small_crops
from gendkit.train.checkpoint import checkpoint_path
from gendkit.train.distributed import Alone, Group, joined

from .ranks import CASES, every_case

SCRIPT = Path(__file__).with_name("ranks.py")
RECIPE = """
backbone: small
losses: {cross-entropy: 1.0, uniformity: 0.5, alignment: 0.1}
dtype: float32
learning_rate: 0.01
batch_size: 8
epochs: 3
warmup_epochs: 1
cycle_epochs: 2
augmentation: light
selection: {data: eve and fay, metric: auroc}
"""


def torchrun(
    *arguments: str | Path, ranks: int = 2, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(ranks),
        "--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0",
    ]  # fmt: skip
    return subprocess.run(
        [*command, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
    )


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Crops to train and to validate on, and a recipe."""
    for name, people in (("train", ("ann", "bob", "cem", "dee")), ("val", ("eve", "fay"))):
        (tmp_path / name).mkdir()
        small_crops(tmp_path / name, identities=people, seed=len(name))
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path


def command(data: Path, out: str, *more: str) -> Sequence[str]:
    return (
        "train", str(data / "recipe.yaml"), "--train", str(data / "train"), "--val",
        str(data / "val"), "--out", str(data / out), "--device", "cpu", *more,
    )  # fmt: skip


def errors(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return gendkit's own lines."""
    return [line for line in done.stderr.splitlines() if line.startswith("gendkit: error: ")]


def test_two_processes_take_the_steps_of_one_with_the_joined_batch(tmp_path: Path) -> None:
    done = torchrun(SCRIPT, "steps", tmp_path / "two.npz")
    assert done.returncode == 0, done.stderr
    expected = every_case(Alone())
    with np.load(tmp_path / "two.npz") as found:
        assert set(found) == set(expected)
        assert {key.partition("/")[0] for key in found} == set(CASES)
        for key, value in expected.items():
            np.testing.assert_allclose(found[key], value, rtol=0, atol=1e-6, err_msg=key)
            scale = max(1e-3, float(np.abs(value).max()))
            assert np.abs(found[key] - value).max() < 1e-10 * scale, key


@pytest.mark.slow
def test_two_processes_train_the_adapter_of_one_and_one_resumes_what_two_began(
    data: Path,
) -> None:
    for ranks, out in ((1, "one"), (2, "two")):
        done = torchrun(SCRIPT, "cli", "none", *command(data, out), ranks=ranks)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("kept epoch") == 1
    one, two = (Adapter.read(data / out) for out in ("one", "two"))
    for name, tensor in one.norms.items():
        torch.testing.assert_close(two.norms[name], tensor, rtol=0, atol=1e-5)
    records = [json.loads((data / out / "run.json").read_text()) for out in ("one", "two")]
    assert [record["ranks"] for record in records] == [1, 2]
    metrics = [[row["validation_auroc"] for row in r["history"]] for r in records]
    assert metrics[0] == pytest.approx(metrics[1], abs=1e-6)

    losses = ("--set", "losses={cross-entropy: 1.0, uniformity: 0.5, alignment: 0.1, faulty: 1.0}")
    every = ("--checkpoint-every", "1")
    done = torchrun(SCRIPT, "cli", "killed", *command(data, "cut", *every, *losses))
    assert done.returncode != 0
    assert checkpoint_path(data / "cut").exists()
    done = torchrun(SCRIPT, "cli", "none", *command(data, "cut", "--resume", *losses), ranks=1)
    assert done.returncode == 0, done.stderr
    resumed = Adapter.read(data / "cut")
    for name, tensor in one.norms.items():
        torch.testing.assert_close(resumed.norms[name], tensor, rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["killed", "stuck"])
def test_a_rank_that_is_gone_ends_the_run_with_one_line(data: Path, fault: str) -> None:
    arguments = command(data, "run", "--set", "losses={cross-entropy: 1.0, faulty: 1.0}")
    start = time.monotonic()
    done = torchrun(SCRIPT, "cli", fault, *arguments, environment={"GENDKIT_RANK_TIMEOUT": "10"})
    assert time.monotonic() - start < 120
    assert done.returncode != 0
    (line,) = errors(done)
    assert "rank 0 of 2 lost another rank" in line
    assert "--resume" in line
    assert not (data / "run").exists()


@pytest.mark.slow
def test_an_error_in_one_rank_alone_is_told_by_it_and_ends_all(data: Path) -> None:
    broken = sorted((data / "val").glob("real/*.png"))[-1]
    broken.write_bytes(b"no picture")
    done = torchrun(SCRIPT, "cli", "none", *command(data, "run"))
    assert done.returncode != 0
    lines = errors(done)
    assert any(broken.name in line for line in lines), done.stderr
    assert len(lines) <= 2


@pytest.mark.slow
def test_ranks_with_other_weights_or_a_batch_that_cannot_be_shared_are_refused(data: Path) -> None:
    done = torchrun(SCRIPT, "cli", "other weights", *command(data, "run"))
    assert done.returncode != 0
    assert "gendkit: error: rank 1 has another backbone than rank 0" in done.stderr
    done = torchrun(SCRIPT, "cli", "none", *command(data, "run", "--set", "batch_size=7"))
    assert done.returncode != 0
    assert "a batch of 7 crops cannot be shared by 2 ranks" in errors(done)[0]


@pytest.mark.slow
def test_the_module_runs_under_torchrun(data: Path) -> None:
    done = torchrun("-m", "gendkit", "train", "nothing", "--train", "a", "--val", "b", "--out", "c")
    assert done.returncode != 0
    assert "gendkit: error: no recipe is named 'nothing'" in done.stderr


class TwoRanks:
    """What a group asks of Fabric before anything is sent."""

    global_rank, world_size = 1, 2


def test_a_batch_that_cannot_be_shared_names_those_that_can() -> None:
    group = Group(TwoRanks(), seconds=1)
    group.check_batch(8)
    with pytest.raises(InvalidRecipe, match="such as 6 or 8"):
        group.check_batch(7)
    with pytest.raises(InvalidRecipe, match=r"such as 2\."):
        group.check_batch(1)


def test_a_rank_takes_its_own_rows() -> None:
    rows = torch.arange(8).view(4, 2)
    assert torch.equal(Group(TwoRanks(), seconds=1).share(rows), rows[2:])


def test_without_torchrun_a_process_is_alone_and_imports_nothing() -> None:
    code = (
        "import sys; from gendkit.train.distributed import joined\n"
        "with joined('cpu') as (world, device): print(world.size, device)\n"
        "print('lightning_fabric' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "cpu", "False"]


@pytest.mark.parametrize("variable", ["WORLD_SIZE", "GENDKIT_RANK_TIMEOUT"])
def test_a_variable_that_is_no_number_is_named(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv(variable, "two")
    with pytest.raises(InvalidArgument, match=f"variable {variable} is 'two'"), joined("cpu"):
        pass


def test_without_lightning_fabric_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    with pytest.raises(MissingDependency, match=r"gendkit\[distributed\]"), joined("cpu"):
        pass

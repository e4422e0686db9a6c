"""A run that is killed and resumed: the same to the bit, or one line that says why not."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import gendkit as gk
from gendkit.errors import (
    CorruptCheckpoint,
    Diverged,
    InvalidArgument,
    InvalidManifest,
    InvalidRecipe,
    OutputExists,
    UnwritableOutput,
    WrongBackbone,
)
from gendkit.output import part_of
from gendkit.plugin.manager import plugins
from gendkit.plugin.specs import LossSpec
from gendkit.testing.small import registered, small_backbone
from gendkit.train.checkpoint import Checkpoint, checkpoint_path
from gendkit.train.engine import ADAPTER, RUN, Run
from gendkit.train.recipe import Recipe

from .conftest import Sets, interrupted, left, trained

EPOCHS, STEPS = 3, 4
CHILD = """
import os, signal, sys
from pathlib import Path
import gendkit as gk
from gendkit.testing.small import registered, small_backbone

recipe, train, validation, out, kill, every, moment = sys.argv[1:]
kill = int(kill)

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def progress(done, total, text):
    if moment == "step" and done == kill:
        die()

if moment != "step":
    replace, count = os.replace, [0]
    def dying(source, target):
        if "checkpoint" in str(target):
            count[0] += 1
            if count[0] == kill:
                if moment == "after":
                    replace(source, target)
                die()
        replace(source, target)
    os.replace = dying

with registered(small_backbone()):
    gk.fit(
        recipe, train, validation, out=out, device="cpu", resume=True, progress=progress,
        checkpoint_every=None if every == "epoch" else int(every),
    )
"""


@pytest.fixture
def recipe(recipe: Recipe) -> Recipe:
    """Three epochs of four steps, of which the best is not the last."""
    return Recipe.of(recipe, epochs=EPOCHS, head_init="probe", learning_rate=0.03, micro_batch=5)


@pytest.fixture(scope="module")
def wholes() -> dict[str, Run]:
    """Runs that were not interrupted, by recipe."""
    return {}


@pytest.fixture
def whole(recipe: Recipe, sets: Sets, wholes: dict[str, Run]) -> Run:
    """The run that was not interrupted."""
    key = recipe.to_yaml()
    if key not in wholes:
        wholes[key] = trained(recipe, sets)
    return wholes[key]


def same(one: Run, other: Run) -> bool:
    """Tell whether adapter, probe and history are the same to the bit."""
    pd.testing.assert_frame_equal(
        one.history.drop(columns="seconds"),
        other.history.drop(columns="seconds"),
        check_exact=True,
    )
    pd.testing.assert_frame_equal(one.layers, other.layers, check_exact=True)
    assert one.record["chosen_epoch"] == other.record["chosen_epoch"]
    assert (one.probe is None) == (other.probe is None)
    if one.probe is not None and other.probe is not None:
        assert one.probe.hash == other.probe.hash
    return one.adapter.hash == other.adapter.hash


@pytest.mark.parametrize(
    ("kill", "every", "moment"),
    [
        (1, "epoch", "step"),  # before there is a checkpoint
        (7, "3", "step"),  # in the middle of an epoch
        (2, "3", "before"),  # the second checkpoint is written but not in its place
        *(
            pytest.param(*moment, marks=pytest.mark.slow)
            for moment in ((6, "epoch", "step"), (12, "1", "step"), (2, "3", "after"))
        ),
    ],
)
def test_a_run_killed_at_any_step_and_resumed_is_the_same_to_the_bit(
    recipe: Recipe, sets: Sets, whole: Run, tmp_path: Path, kill: int, every: str, moment: str
) -> None:
    file, out = tmp_path / "recipe.yaml", tmp_path / "run"
    file.write_text(recipe.to_yaml())
    arguments = [file, sets.train.root, sets.validation.root, out, kill, every, moment]
    child = subprocess.run(
        [sys.executable, "-c", CHILD, *map(str, arguments)], capture_output=True, text=True
    )
    assert child.returncode == -signal.SIGKILL, child.stderr
    assert not out.exists()
    resumed = trained(recipe, sets, out=out, resume=True)
    assert same(resumed, whole)
    whole.adapter.write(tmp_path / ADAPTER)
    assert (out / ADAPTER).read_bytes() == (tmp_path / ADAPTER).read_bytes()
    assert {p.name for p in tmp_path.iterdir()} == {"recipe.yaml", "run", ADAPTER}


def test_a_run_that_is_not_there_begins_and_says_so(
    recipe: Recipe, sets: Sets, whole: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert same(trained(recipe, sets, out=tmp_path / "run", resume=True), whole)
    assert "there is no checkpoint at" in caplog.text


@pytest.mark.parametrize("after", range(1, EPOCHS * STEPS + 1))
def test_a_run_can_be_taken_up_after_every_step(
    recipe: Recipe, sets: Sets, whole: Run, tmp_path: Path, after: int
) -> None:
    interrupted(recipe, sets, tmp_path / "run", after=after, checkpoint_every=1)
    resumed = trained(recipe, sets, out=tmp_path / "run", resume=True)
    assert same(resumed, whole)
    assert resumed.record["resumed"] == ([after - 1] if after > 1 else [])


def test_a_run_may_be_resumed_more_than_once_and_says_where(
    recipe: Recipe, sets: Sets, whole: Run, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    interrupted(recipe, sets, out, after=4, checkpoint_every=1)
    interrupted(recipe, sets, out, after=9, checkpoint_every=2, resume=True)
    resumed = trained(recipe, sets, out=out, resume=True)
    assert same(resumed, whole)
    assert json.loads((out / RUN).read_text())["resumed"] == [3, 8]


def test_only_the_steps_that_are_left_are_taken(recipe: Recipe, sets: Sets, tmp_path: Path) -> None:
    interrupted(recipe, sets, tmp_path / "run", after=7)
    told: list[int] = []
    trained(
        recipe, sets, out=tmp_path / "run", resume=True,
        progress=lambda done, total, text: told.append(done),
    )  # fmt: skip
    assert told == list(range(5, 13))


@pytest.mark.parametrize(
    "changes",
    [
        {"selection.metric": "last"},
        {"head_init": "random", "batches": "paired", "augmentation": "gend"},
        {"augmentation": "gend-batched"},
        {"augmentation": "light,jpeg:40..100@0.5,noise:0..0.1"},
        {"tuned_norms": 0},
        {"tuned_norms": 2, "micro_batch": None, "weight_decay": 0.1},
        {"dtype": "bfloat16", "logit_scale": 3.0, "head_learning_rate": 1e-3},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_runs_of_other_recipes_are_resumed_to_the_bit_too(
    recipe: Recipe, sets: Sets, tmp_path: Path, changes: dict[str, Any]
) -> None:
    other = Recipe.of(recipe, **changes)
    interrupted(other, sets, tmp_path / "run", after=8, checkpoint_every=7)
    resumed = trained(other, sets, out=tmp_path / "run", resume=True)
    assert resumed.record["resumed"] == [7]
    assert same(resumed, trained(other, sets))
    if other.selection.metric == "last":
        assert resumed.record["chosen_epoch"] == EPOCHS - 1


def test_a_run_that_ends_well_leaves_no_checkpoint(
    recipe: Recipe, sets: Sets, tmp_path: Path
) -> None:
    there: list[bool] = []
    out = tmp_path / "run"
    trained(recipe, sets, out=out, progress=lambda *_: there.append(checkpoint_path(out).exists()))
    assert there == [False] * 4 + [True] * 8
    assert left(tmp_path) == ["run"]


def test_an_interrupted_run_is_not_begun_anew_unasked(
    recipe: Recipe, sets: Sets, whole: Run, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    place = interrupted(recipe, sets, out, after=6)
    before = place.read_bytes()
    with pytest.raises(OutputExists, match=r"was interrupted; go on with --resume, or begin anew"):
        trained(recipe, sets, out=out)
    assert place.read_bytes() == before
    anew = trained(recipe, sets, out=out, overwrite=True)
    assert same(anew, whole)
    assert anew.record["resumed"] == []
    assert not place.exists()


def test_a_run_that_was_to_replace_another_is_resumed_as_such(
    recipe: Recipe, sets: Sets, whole: Run, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    other = trained(Recipe.of(recipe, seed=1), sets, out=out).adapter.hash
    interrupted(recipe, sets, out, after=6, overwrite=True)
    assert gk.Adapter.read(out / ADAPTER).hash == other
    with pytest.raises(OutputExists, match="already holds a run"):
        trained(recipe, sets, out=out, resume=True)
    assert same(trained(recipe, sets, out=out, resume=True, overwrite=True), whole)
    assert gk.Adapter.read(out / ADAPTER).hash == whole.adapter.hash


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"learning_rate": 0.02}, "begun with learning_rate 0.03, not 0.02"),
        ({"epochs": 4}, "begun with epochs 3, not 4"),
        ({"losses": {"cross-entropy": 1.0}}, "begun with losses"),
        ({"seed": 1}, "begun with seed 0, not 1"),
    ],
)
def test_another_recipe_is_refused_in_one_line(
    recipe: Recipe, sets: Sets, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    place = interrupted(recipe, sets, tmp_path / "run", after=6)
    before = place.read_bytes()
    with pytest.raises(InvalidRecipe, match=words) as error:
        trained(Recipe.of(recipe, **changes), sets, out=tmp_path / "run", resume=True)
    assert "\n" not in str(error.value)
    assert place.read_bytes() == before


@pytest.mark.parametrize("column", ["sample", "label", "pair", "target_identity", "order", "file"])
def test_other_crops_are_refused(recipe: Recipe, sets: Sets, tmp_path: Path, column: str) -> None:
    interrupted(recipe, sets, tmp_path / "run", after=6)
    table = sets.train.table.copy()
    if column == "order":
        table = table.iloc[::-1].reset_index(drop=True)
    elif column == "file":
        table.loc[0, "path"] = "fake/ann-1.png"
    else:
        table.loc[0, column] = {"label": 1}.get(column, "other")
    other = replace(sets, train=replace(sets.train, table=table))
    with pytest.raises(InvalidManifest, match="begun with other training crops"):
        trained(recipe, other, out=tmp_path / "run", resume=True)


def test_other_validation_crops_are_refused(recipe: Recipe, sets: Sets, tmp_path: Path) -> None:
    interrupted(recipe, sets, tmp_path / "run", after=6)
    fewer = sets.validation.where(sets.validation.table["frame"] < 3)
    with pytest.raises(InvalidManifest, match="begun with other validation crops"):
        trained(recipe, replace(sets, validation=fewer), out=tmp_path / "run", resume=True)


def test_another_backbone_of_the_same_name_is_refused(
    recipe: Recipe, sets: Sets, tmp_path: Path
) -> None:
    interrupted(recipe, sets, tmp_path / "run", after=6)
    with (
        registered(small_backbone(seed=1)),
        pytest.raises(WrongBackbone, match="begun with other weights"),
    ):
        trained(recipe, sets, out=tmp_path / "run", resume=True)


def test_crops_that_moved_with_their_manifest_are_the_same(
    recipe: Recipe, sets: Sets, whole: Run, tmp_path: Path
) -> None:
    import shutil

    interrupted(recipe, sets, tmp_path / "run", after=6)
    shutil.copytree(sets.train.root, tmp_path / "moved")
    moved = replace(sets, train=gk.Manifest.read(tmp_path / "moved"))
    assert same(trained(recipe, moved, out=tmp_path / "run", resume=True), whole)


@pytest.mark.parametrize("damage", ["truncated", "text", "number", "adapter", "format"])
def test_a_damaged_checkpoint_is_refused_in_one_line(
    recipe: Recipe, sets: Sets, tmp_path: Path, damage: str
) -> None:
    place = interrupted(recipe, sets, tmp_path / "run", after=6)
    content = place.read_bytes()
    if damage == "adapter":
        save_file(load_file(place), place)
    else:
        changed = {
            "truncated": content[:-100],
            "text": b"a letter",
            "number": content[:-1] + bytes([content[-1] ^ 1]),
            "format": content.replace(b'{\\"format\\": 1', b'{\\"format\\": 2', 1),
        }[damage]
        assert changed != content
        place.write_bytes(changed)
    with pytest.raises(CorruptCheckpoint, match="--overwrite begins anew") as error:
        trained(recipe, sets, out=tmp_path / "run", resume=True)
    assert "\n" not in str(error.value)


def test_a_checkpoint_comes_back_as_it_was_written(
    recipe: Recipe, sets: Sets, tmp_path: Path
) -> None:
    place = interrupted(recipe, sets, tmp_path / "run", after=6, checkpoint_every=5)
    one = Checkpoint.read(place)
    one.write(tmp_path / "again.safetensors")
    other = Checkpoint.read(tmp_path / "again.safetensors")
    assert one.standing.step == 5
    assert set(one.state) == set(other.state)
    assert all(torch.equal(t, other.state[n]) and t.dtype == other.state[n].dtype
               for n, t in one.state.items())  # fmt: skip
    assert replace(one.standing, chosen=None) == replace(other.standing, chosen=None)
    assert (one.origin, one.backbone, one.seconds) == (other.origin, other.backbone, other.seconds)


@pytest.mark.parametrize("call", ["replace", "fsync", "open"])
def test_a_full_disk_is_one_line_and_the_earlier_checkpoint_survives(
    recipe: Recipe,
    sets: Sets,
    whole: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
) -> None:
    out, calls = tmp_path / "run", [0]
    true = {"replace": os.replace, "fsync": os.fsync, "open": Path.open}[call]

    def full(*args: Any, **options: Any) -> Any:
        written = part_of(checkpoint_path(out))
        if written.exists() if call == "fsync" else "checkpoint" in str(args[0]):
            calls[0] += 1
            if calls[0] == 2:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return true(*args, **options)

    monkeypatch.setattr(Path if call == "open" else os, call, full)
    with pytest.raises(UnwritableOutput, match="No space left on device; the one of step 4") as e:
        trained(recipe, sets, out=out)
    monkeypatch.undo()
    assert "\n" not in str(e.value)
    assert left(tmp_path) == [checkpoint_path(out).name]
    assert Checkpoint.read(checkpoint_path(out)).standing.step == 4
    assert same(trained(recipe, sets, out=out, resume=True), whole)


def test_an_unwritable_folder_is_one_line(
    recipe: Recipe, sets: Sets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*args: Any, **options: Any) -> Any:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "replace", refused)
    with pytest.raises(UnwritableOutput, match="Permission denied; there is no earlier one") as e:
        trained(recipe, sets, out=tmp_path / "run")
    assert "\n" not in str(e.value)
    assert left(tmp_path) == []


def test_an_output_that_cannot_be_written_keeps_the_checkpoint(
    recipe: Recipe, sets: Sets, whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, write_text = tmp_path / "run", Path.write_text

    def full(path: Path, *args: Any, **options: Any) -> Any:
        if path.name == RUN:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write_text(path, *args, **options)

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(UnwritableOutput, match="No space left on device; the one of step 12"):
        trained(recipe, sets, out=out)
    monkeypatch.undo()
    told: list[int] = []
    again = trained(recipe, sets, out=out, resume=True, progress=lambda *a: told.append(a[0]))
    assert told == []
    assert same(again, whole)


def test_resuming_needs_a_place_and_a_checkpoint_a_step(recipe: Recipe, sets: Sets) -> None:
    with pytest.raises(InvalidArgument, match="give out"):
        trained(recipe, sets, resume=True)
    with pytest.raises(InvalidArgument, match="checkpoint_every is 0"):
        trained(recipe, sets, checkpoint_every=0)


def poison(at: int, *, gradient: bool) -> LossSpec:
    """A loss of 0 that gives NaN, or a gradient of NaN, at one step."""
    seen = [0]

    def loss(inputs: Any) -> Tensor:
        seen[0] += 1
        zero: Tensor = inputs.logits.sum() * 0
        if seen[0] != at + 1:
            return zero
        if gradient:
            return zero.sqrt()  # its slope is 0 times infinity
        return zero + float("nan")

    return LossSpec(name="poison", summary="fails at one step", build=lambda: loss)


@pytest.mark.parametrize("gradient", [False, True], ids=["loss", "gradient"])
@pytest.mark.parametrize("at", [1, 6])
def test_a_loss_that_turns_nan_names_step_crops_and_the_last_good_checkpoint(
    recipe: Recipe, sets: Sets, tmp_path: Path, at: int, gradient: bool
) -> None:
    plugins().register([poison(at, gradient=gradient)], name="poison")
    changed = Recipe.of(recipe, losses={"cross-entropy": 1, "poison": 1}, micro_batch=None)
    out = tmp_path / "run"
    with pytest.raises(Diverged, match=rf"^step {at} has .*nan.*its batch begins with small/") as e:
        trained(changed, sets, out=out)
    assert "\n" not in str(e.value)
    [note] = e.value.__notes__
    assert note.count("small/") == 8
    if at == 1:
        assert left(tmp_path) == []
        return
    assert f"(the one of step 4 is kept in {checkpoint_path(out)})" in str(e.value)
    good = Checkpoint.read(checkpoint_path(out))
    assert good.standing.step == 4
    assert all(torch.isfinite(t).all() for t in good.state.values())


def test_scores_that_are_no_numbers_end_the_run_in_one_line(
    recipe: Recipe, sets: Sets, tmp_path: Path
) -> None:
    steep = Recipe.of(
        recipe, learning_rate=1e30, batch_size=32, epochs=1, warmup_epochs=0, micro_batch=None
    )
    with pytest.raises(Diverged, match="after step 1, the score of validation crop small/") as e:
        trained(steep, sets, out=tmp_path / "run")
    assert "\n" not in str(e.value)
    assert left(tmp_path) == []


@pytest.mark.parametrize("compile", [True, False])
def test_a_run_that_was_compiled_is_resumed_so_and_another_is_not(
    recipe: Recipe, sets: Sets, tmp_path: Path, compile: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gendkit.train.build.check_compiler", lambda device: None)
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: None)
    out = tmp_path / "run"
    interrupted(recipe, sets, out, after=6, compile=compile)
    word = "with" if compile else "without"
    with pytest.raises(InvalidArgument, match=f"begun {word} compile; resume it {word}"):
        trained(recipe, sets, out=out, resume=True, compile=not compile)
    assert trained(recipe, sets, out=out, resume=True, compile=compile).record["resumed"] == [4]


@pytest.mark.gpu
def test_a_run_on_a_gpu_is_resumed_with_its_moments(
    recipe: Recipe, sets: Sets, tmp_path: Path
) -> None:
    changed = Recipe.of(recipe, dtype="bfloat16")
    whole = trained(changed, sets, device="cuda")
    interrupted(changed, sets, tmp_path / "run", after=6, device="cuda")
    resumed = trained(changed, sets, out=tmp_path / "run", resume=True, device="cuda")
    assert resumed.record["resumed"] == [4]
    for name, tensor in whole.adapter.norms.items():
        torch.testing.assert_close(resumed.adapter.norms[name], tensor, rtol=0, atol=1e-3)

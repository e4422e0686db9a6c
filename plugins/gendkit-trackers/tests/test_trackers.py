"""Trackers are told what the history says, and only of runs that name them."""

from __future__ import annotations

import json
import logging
import math
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import wandb
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import gendkit as gk
from gendkit.data.manifest import Manifest
from gendkit.plugin import LossSpec, plugins
from gendkit.testing.small import registered, small_backbone, small_crops
from gendkit.train.recipe import Recipe

RECIPE = Recipe(
    name="tiny", backbone="small", losses={"cross-entropy": 1.0, "uniformity": 0.5},
    dtype="float32", learning_rate=1e-2, batch_size=8, epochs=3, augmentation="none",
    selection={"data": "eve and fay", "metric": "auroc"},
)  # fmt: skip
BLOCK = 32768


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifest, Manifest]:
    made = []
    for name, people in (("train", ("ann", "bob")), ("val", ("eve", "fay"))):
        made.append(small_crops(tmp_path_factory.mktemp(name), identities=people, seed=len(name)))
    return made[0], made[1]


@pytest.fixture(autouse=True)
def small() -> Iterator[None]:
    with registered(small_backbone()):
        yield


def fit(sets: tuple[Manifest, Manifest], out: Path, *trackers: str, **changes: Any) -> Any:
    options = {k: changes.pop(k) for k in ("resume", "progress") if k in changes}
    recipe = Recipe.of(RECIPE, **changes)
    return gk.fit(
        recipe, *sets, out=out, device="cpu", trackers=trackers,
        **{"progress": lambda *_: None, **options},
    )  # fmt: skip


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(folder)).Reload()
    tags = events.Tags()["scalars"]
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in tags}


def wandb_history(folder: Path) -> list[dict[str, float]]:
    """Read the rows of the one offline run in a folder: a log of records in blocks of 32 KiB."""
    from wandb.proto import wandb_internal_pb2

    (path,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    data, position, parts, rows = path.read_bytes(), 7, b"", []
    while position < len(data):
        left = BLOCK - position % BLOCK
        if left < 7:
            position += left
            continue
        _, length, kind = struct.unpack("<IHB", data[position : position + 7])
        parts += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            record = wandb_internal_pb2.Record()
            record.ParseFromString(parts)
            parts = b""
            if record.WhichOneof("record_type") == "history":
                items = record.history.item
                rows.append({i.key or i.nested_key[0]: json.loads(i.value_json) for i in items})
    return rows


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A proxy that every request of this process and its children would go through."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, address)
            monkeypatch.setenv(name.lower(), address)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        yield server


def test_both_are_installed_and_told_only_of_runs_that_name_them(
    sets: tuple[Manifest, Manifest], tmp_path: Path
) -> None:
    found = {item.source.plugin: item for item in plugins().listeners}
    assert {"tensorboard", "wandb"} <= set(found)
    assert not found["tensorboard"].always
    assert found["wandb"].source.distribution == "gendkit-trackers"
    fit(sets, tmp_path / "run", epochs=1)
    assert {p.name for p in tmp_path.iterdir()} == {"run"}


def test_tensorboard_has_the_history_and_the_movement(
    sets: tuple[Manifest, Manifest], tmp_path: Path
) -> None:
    run = fit(sets, tmp_path / "run", "tensorboard")
    found = curves(tmp_path / "run-tensorboard")
    for column in ("loss", "cross-entropy", "uniformity", "learning_rate", "pairs"):
        expected = list(enumerate(run.history[column]))
        assert found[f"train/{column}"] == [(i, pytest.approx(v)) for i, v in expected]
    assert [v for _, v in found["validation/auroc"]] == pytest.approx(
        run.history["validation_auroc"].tolist()
    )
    moved = {tag: points for tag, points in found.items() if tag.startswith("movement/")}
    assert len(moved) == len(run.layers) == 5
    assert all(len(points) == 3 and points[-1][1] > 0 for points in moved.values())


def test_tensorboard_s_curves_of_a_resumed_run_have_each_epoch_once(
    sets: tuple[Manifest, Manifest], tmp_path: Path
) -> None:
    def stop(done: int, total: int, text: str) -> None:
        if text.startswith("train") and done == total - 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(sets, tmp_path / "run", "tensorboard", progress=stop)
    run = fit(sets, tmp_path / "run", "tensorboard", resume=True)
    found = curves(tmp_path / "run-tensorboard")
    expected = list(enumerate(run.history["loss"]))
    assert found["train/loss"] == [(i, pytest.approx(v)) for i, v in expected]


def test_wandb_offline_has_the_history_and_sends_nothing(
    sets: tuple[Manifest, Manifest],
    tmp_path: Path,
    nobody: socket.socket,
) -> None:
    run = fit(sets, tmp_path / "run", "wandb")
    wandb.teardown()  # its other process may still be writing
    rows = wandb_history(tmp_path)
    assert [row["_step"] for row in rows] == [0, 1, 2]
    for column in run.history.columns:
        expected = run.history[column].tolist()
        assert [row[column] for row in rows] == pytest.approx(expected), column
    assert all(math.isfinite(v) for r in rows for k, v in r.items() if k.startswith("movement/"))
    with pytest.raises(BlockingIOError):
        nobody.accept()


def test_wandb_does_not_keep_what_the_user_s_terminal_shows(
    sets: tuple[Manifest, Manifest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    init = wandb.init
    monkeypatch.setattr(wandb, "init", lambda **told: asked.append(told) or init(**told))
    fit(sets, tmp_path / "run", "wandb", epochs=1)
    assert [told["settings"].console for told in asked] == ["off"]


def test_a_run_that_fails_ends_theirs(sets: tuple[Manifest, Manifest], tmp_path: Path) -> None:
    broken = LossSpec(
        name="broken", summary="not finite", build=lambda: lambda i: i.logits.sum() * math.nan
    )
    with registered(small_backbone(), broken), pytest.raises(gk.errors.Diverged):
        fit(sets, tmp_path / "run", "tensorboard", "wandb", losses={"broken": 1.0})
    events = EventAccumulator(str(tmp_path / "run-tensorboard")).Reload()
    assert "outcome/text_summary" in events.Tags()["tensors"]
    text = events.Tensors("outcome/text_summary")[0].tensor_proto.string_val[0].decode()
    assert text.startswith("failed Diverged: step 0")
    assert list(tmp_path.glob("wandb/offline-run-*/run-*.wandb"))


def test_without_a_login_the_way_out_is_named(
    sets: tuple[Manifest, Manifest],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    wandb.teardown()  # it keeps the mode of the tests before
    with caplog.at_level(logging.WARNING, "gendkit"):
        fit(sets, tmp_path / "run", "wandb", epochs=1)
    wandb.teardown()
    (said,) = [r.getMessage() for r in caplog.records if r.name.startswith("gendkit")]
    assert "MissingService: Weights & Biases: " in said
    assert "set WANDB_MODE=offline" in said

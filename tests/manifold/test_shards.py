"""A store written shard by shard is the same whoever writes it and however often it is stopped."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
import zarr

import gendkit as gk
from gendkit import processes
from gendkit.data.manifest import Manifest
from gendkit.errors import (
    InvalidArgument,
    InvalidEmbeddings,
    InvalidManifest,
    OutputExists,
    WorkerLost,
)
from gendkit.manifold import store
from gendkit.manifold.shards import MADE, Unfinished
from gendkit.model.adapter import Adapter, header_of
from gendkit.model.backbone import build_backbone, norms_of
from gendkit.model.detector import Detector, Outputs
from gendkit.model.tuning import copy_of
from gendkit.plugin.manager import plugins
from gendkit.progress import silent
from gendkit.testing.small import small_crops

SHARD = 4


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards of four crops in two chunks."""
    monkeypatch.setattr(store, "SHARD", SHARD)
    monkeypatch.setattr(store, "CHUNK", 2)


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """18 crops: four shards and half of one."""
    manifest = small_crops(
        tmp_path_factory.mktemp("crops"), identities=("ann", "bob", "cem"), frames=3
    )
    assert len(manifest) == 18
    return manifest


class Stop(Exception):
    """What ends a run."""


def stop_after(crops: int) -> Callable[[int, int, str], None]:
    def progress(done: int, total: int, text: str) -> None:
        if done > crops:
            raise Stop

    return progress


def interrupted(crops: Manifest, detector: Detector, out: Path) -> Path:
    """Begin a run that ends in its third shard; return what it leaves."""
    with pytest.raises(Stop):
        gk.embed(crops, detector, out, batch_size=2, progress=stop_after(8))
    assert not out.exists()
    return out.with_name(f".{out.name}-embedding")


def same(one: xr.Dataset, other: xr.Dataset) -> None:
    for ds in (one, other):
        ds.attrs.pop("created")
    xr.testing.assert_identical(one.load(), other.load())


def test_a_store_of_several_shards_is_that_of_one_run_in_memory(
    crops: Manifest, detector: Detector, tmp_path: Path
) -> None:
    whole = gk.embed(crops, detector, batch_size=2, progress=silent)
    found = gk.embed(crops, detector, tmp_path / "e.zarr", batch_size=2, progress=silent)
    array = zarr.open_group(tmp_path / "e.zarr", mode="r")["embedding"]
    assert (array.shape[0], array.shards[0], array.chunks[0]) == (18, 4, 2)
    assert [p.name for p in tmp_path.iterdir()] == ["e.zarr"]
    same(found, whole)


def test_an_interrupted_run_is_gone_on_with_where_it_was(
    crops: Manifest, detector: Detector, tmp_path: Path
) -> None:
    out = tmp_path / "e.zarr"
    left = interrupted(crops, detector, out)
    assert sorted(p.name for p in (left / "done").iterdir()) == ["000000", "000001"]
    seen: list[int] = []
    resumed = gk.embed(
        crops, detector, out, resume=True, batch_size=2, progress=lambda done, *_: seen.append(done)
    )
    assert seen == [10, 12, 14, 16, 18]
    assert [p.name for p in tmp_path.iterdir()] == ["e.zarr"]
    same(resumed, gk.embed(crops, detector, batch_size=2, progress=silent))


def test_an_interrupted_run_is_neither_taken_up_nor_lost_unasked(
    crops: Manifest, detector: Detector, tmp_path: Path
) -> None:
    out = tmp_path / "e.zarr"
    left = interrupted(crops, detector, out)
    with pytest.raises(OutputExists, match="interrupted after 2 shards; --resume goes on"):
        gk.embed(crops, detector, out, batch_size=2, progress=silent)
    assert len(list((left / "done").iterdir())) == 2
    anew = gk.embed(crops, detector, out, batch_size=2, overwrite=True, progress=silent)
    assert anew.sizes["sample"] == 18
    assert not left.exists()


def test_what_was_killed_as_it_began_is_begun_anew(
    crops: Manifest, detector: Detector, tmp_path: Path
) -> None:
    left = tmp_path / ".e.zarr-embedding" / "store"
    left.mkdir(parents=True)
    (left / "rest").write_text("of a run that was killed as it began")
    ds = gk.embed(crops, detector, tmp_path / "e.zarr", resume=True, progress=silent)
    assert ds.sizes["sample"] == 18


def test_a_run_is_resumed_with_its_own_crops_detector_and_batch_size(
    crops: Manifest, detector: Detector, tmp_path: Path
) -> None:
    out = tmp_path / "e.zarr"
    interrupted(crops, detector, out)
    fewer = crops.where(crops.table.index < 17)
    with pytest.raises(InvalidManifest, match="begun with other crops"):
        gk.embed(fewer, detector, out, resume=True, batch_size=2)
    with pytest.raises(InvalidArgument, match="begun with another batch_size"):
        gk.embed(crops, detector, out, resume=True, batch_size=3)
    head = {name: 2 * t for name, t in detector.adapter.head.items()}
    other = Detector(
        detector.backbone, spec=detector.spec, adapter=replace(detector.adapter, head=head)
    )
    with pytest.raises(InvalidArgument, match="begun with another detector"):
        gk.embed(crops, other, out, resume=True, batch_size=2)


def test_a_shard_that_is_not_what_was_written_is_found_and_made_anew(
    crops: Manifest, detector: Detector, tmp_path: Path
) -> None:
    out = tmp_path / "e.zarr"
    left = interrupted(crops, detector, out)
    zarr.open_group(left / "store", mode="a")["score"][1:2] = 0.5
    with pytest.raises(InvalidEmbeddings, match=r"shard 0 of .* is not what was written; --resume"):
        gk.embed(crops, detector, out, resume=True, batch_size=2, progress=silent)
    assert not out.exists()
    found = gk.embed(crops, detector, out, resume=True, batch_size=2, progress=silent)
    same(found, gk.embed(crops, detector, batch_size=2, progress=silent))


def test_only_what_is_written_is_resumed_or_shared(crops: Manifest, detector: Detector) -> None:
    for options in ({"resume": True}, {"workers": 2}, {"scheduler": "tcp://127.0.0.1:1"}):
        with pytest.raises(InvalidArgument, match="give out"):
            gk.embed(crops, detector, **options)


def test_there_are_workers_of_one_kind_and_at_least_one(
    crops: Manifest, detector: Detector, tmp_path: Path
) -> None:
    with pytest.raises(InvalidArgument, match="give one"):
        gk.embed(crops, detector, tmp_path / "e", workers=1, scheduler="tcp://127.0.0.1:1")
    with pytest.raises(InvalidArgument, match="workers is 0"):
        gk.embed(crops, detector, tmp_path / "e", workers=0)


def outputs(rows: slice) -> Outputs:
    """Numbers that tell their row."""
    rng = np.random.default_rng(rows.start)
    raw = rng.normal(size=(rows.stop - rows.start, 8))
    number = np.arange(rows.start, rows.stop, dtype=np.float32)
    return Outputs(
        embedding=(raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32),
        logit=np.stack([number, -number], axis=1),
        score=number,
    )


def write_some(unfinished: Unfinished, numbers: list[int]) -> None:
    for number in numbers:
        unfinished.write(number, outputs(unfinished.rows(number)))


def test_two_processes_that_write_at_the_same_time_lose_no_row(tmp_path: Path) -> None:
    count = 64 * SHARD + 1
    unfinished = Unfinished(tmp_path / "e.zarr", count, dim=8)
    ids = np.array([f"s{i}" for i in range(count)], object)
    described = xr.Dataset(coords={"sample": ids, "class": np.array(["real", "fake"], object)})
    unfinished.begin(described, {"crops": "c"}, resume=False, overwrite=False)
    every = unfinished.todo()
    assert len(every) == 65
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=write_some, args=(unfinished, every[i::2])) for i in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert unfinished.todo() == []
    (tmp_path / "e.zarr").mkdir()
    unfinished.finish(tmp_path / "e.zarr")
    ds = gk.open_embeddings(tmp_path / "e.zarr")
    np.testing.assert_array_equal(ds["score"], np.arange(count))
    np.testing.assert_array_equal(ds["logit"].values[:, 1], -np.arange(count))
    for number in every:
        rows = unfinished.rows(number)
        np.testing.assert_array_equal(ds["embedding"][rows], outputs(rows).embedding)


def test_a_scheduler_that_is_not_there_is_told_in_one_line(
    crops: Manifest, detector: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr(processes, "WAIT", 0.5)
    with pytest.raises(WorkerLost, match=r"tcp://127.0.0.1:1 is not to be reached") as error:
        gk.embed(crops, detector, tmp_path / "e.zarr", scheduler="tcp://127.0.0.1:1")
    assert "\n" not in str(error.value)


@pytest.fixture
def installed(asset: Callable[[str], Path]) -> Detector:
    """A detector whose backbone comes from an installed plugin, so that workers can load it."""
    asset("dinov2-vits14")
    spec = plugins().spec("backbone", "dinov2-vits14")
    module = build_backbone(spec, image_size=28)
    generator = torch.Generator().manual_seed(0)
    adapter = Adapter(
        header=header_of(module, spec, spec.preprocessing.at(28), source="tests"),
        norms=copy_of(norms_of(module, spec)),
        head={"weight": torch.randn(2, spec.dim, generator=generator), "bias": torch.zeros(2)},
    )
    return Detector(module, spec=spec, adapter=adapter)


def close(found: xr.Dataset, whole: xr.Dataset) -> None:
    assert found["sample"].values.tolist() == whole["sample"].values.tolist()
    for name in MADE:
        np.testing.assert_allclose(found[name], whole[name], rtol=0, atol=1e-5)


@pytest.mark.slow
def test_a_worker_that_is_killed_leaves_the_same_store(
    crops: Manifest, installed: Detector, tmp_path: Path, workers: Any
) -> None:
    found = gk.embed(
        crops, installed, tmp_path / "e.zarr", scheduler=workers.scheduler, progress=workers
    )
    assert len(workers.killed) == 1
    close(found, gk.embed(crops, installed, progress=silent))


@pytest.mark.slow
def test_processes_of_this_machine_make_the_store_of_one_and_leave_the_environment(
    crops: Manifest, installed: Detector, tmp_path: Path, environment: dict[str, str]
) -> None:
    pytest.importorskip("distributed")
    told: list[int] = []
    found = gk.embed(
        crops, installed, tmp_path / "e.zarr", workers=2, progress=lambda n, *_: told.append(n)
    )
    assert {n for n, v in os.environ.items() if environment.get(n) != v} <= {"PYTEST_CURRENT_TEST"}
    assert sorted(told) == told
    assert (len(told), told[-1]) == (5, 18)
    close(found, gk.embed(crops, installed, progress=silent))

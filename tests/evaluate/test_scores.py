"""Scores by their hashes: made once, gone on with, and shared out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gendkit as gk
from gendkit.data.manifest import Manifest
from gendkit.evaluate.benchmark import scores
from gendkit.evaluate.benchmark.scores import Job, make_scores, read_scores, score_table
from gendkit.evaluate.final import times_logged
from gendkit.model.adapter import Adapter
from gendkit.testing.small import small_crops
from gendkit.train.record import digest

pytestmark = pytest.mark.usefixtures("own_log")


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """16 crops of two people."""
    return small_crops(tmp_path_factory.mktemp("crops"), identities=("ann", "bob"), split="final")


@pytest.fixture
def job(run: Callable[..., Path], crops: Manifest) -> Job:
    adapter = Adapter.read(run("one"))
    return Job(adapter=adapter, dtype="float32", manifest=crops, crops=digest(crops))


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scores, "PART", 4)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many crops each run of a detector is over; the third part is interrupted once."""
    seen: list[int] = []
    true = scores.run_over

    def counted(detector: Any, manifest: Manifest, **options: Any) -> Any:
        seen.append(len(manifest))
        if len(seen) == 3:
            raise KeyboardInterrupt
        return true(detector, manifest, **options)

    monkeypatch.setattr(scores, "run_over", counted)
    return seen


def test_the_scores_are_those_of_the_detector_in_the_manifests_order(
    job: Job, tmp_path: Path
) -> None:
    assert make_scores([job], tmp_path) == 16
    found = score_table(job, tmp_path, np.arange(16))
    outputs = gk.load(job.adapter).outputs([job.manifest.crop(i) for i in range(16)])
    np.testing.assert_allclose(found["p_fake"], outputs.score, atol=1e-6)
    np.testing.assert_allclose(found["margin"], outputs.logit[:, 1] - outputs.logit[:, 0],
                               atol=1e-5)  # fmt: skip
    assert found["sample"].tolist() == job.manifest.table["sample"].tolist()
    assert found["component"].tolist() == list(range(16))


def test_scoring_that_was_interrupted_goes_on_after_its_last_part(
    job: Job, tmp_path: Path, runs: list[int]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        make_scores([job], tmp_path)
    assert runs == [4, 4, 4]
    assert make_scores([job], tmp_path) == 8
    assert len(read_scores(job, tmp_path)) == 16
    assert make_scores([job], tmp_path) == 0
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(job.key)] == [
        f"{job.key}.parquet"
    ]


def test_an_interrupted_computation_on_final_data_is_noted_once(
    job: Job, tmp_path: Path, runs: list[int]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        make_scores([job], tmp_path)
    make_scores([job], tmp_path)
    assert times_logged(job.manifest) == 1


def test_processes_that_share_a_folder_share_the_jobs(
    job: Job, run: Callable[..., Path], tmp_path: Path
) -> None:
    jobs = [job, replace(job, adapter=Adapter.read(run("two", head=1)))]
    jobs = [replace(one, detector=gk.load(one.adapter)) for one in jobs]
    with ThreadPoolExecutor(2) as pool:
        counts = pool.map(lambda some: make_scores(some, tmp_path), (jobs, jobs[::-1]))
    assert sum(counts) == 32
    for one in jobs:
        assert len(read_scores(one, tmp_path)) == 16
    assert not list(tmp_path.glob("*.lock"))


@pytest.mark.parametrize("content", [b"", b"PAR1 and no more", None])
def test_a_damaged_file_is_made_anew_and_said(
    job: Job, tmp_path: Path, content: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    make_scores([job], tmp_path)
    file = tmp_path / f"{job.key}.parquet"
    if content is None:
        read_scores(job, tmp_path).iloc[::-1].to_parquet(file)
    else:
        file.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert make_scores([job], tmp_path) == 16
    assert "is damaged" in caplog.text


def test_the_name_tells_whatever_changes_a_score(job: Job, run: Callable[..., Path]) -> None:
    header = job.adapter.header
    others = [
        replace(job, dtype="bfloat16"),
        replace(job, crops="0" * 64),
        replace(job, adapter=Adapter.read(run("other", head=1))),
        replace(job, adapter=replace(job.adapter, header=replace(header, normalised=False))),
        replace(job, adapter=replace(job.adapter, header=replace(
            header, preprocessing=replace(header.preprocessing, size=28)))),
    ]  # fmt: skip
    assert len({job.key, *(other.key for other in others)}) == 6
    named = replace(job.adapter, header=replace(header, recipe={"name": "else"}))
    assert replace(job, adapter=named).key == job.key

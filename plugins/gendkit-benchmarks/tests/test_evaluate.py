"""Benchmarks from their owners' folders to a comparison, which the second time computes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import miniatures
import pytest

import gendkit as gk
from gendkit.cli import main
from gendkit.evaluate.benchmark import scores
from gendkit.testing.small import registered, small_backbone, small_detector


@pytest.fixture
def detectors(tmp_path: Path) -> Iterator[list[str]]:
    """Two detectors of one small backbone, which differ in their head."""
    import torch

    spec, folders = small_backbone(), []
    with registered(spec):
        adapter = small_detector(spec).adapter
        for name in ("one", "two"):
            folders.append(tmp_path / name)
            folders[-1].mkdir()
            weight = torch.randn(2, 32, generator=torch.Generator().manual_seed(len(folders)))
            head = {"weight": 3 * weight, "bias": torch.zeros(2)}
            header = replace(adapter.header, recipe={"name": name, "seed": 0})
            replace(adapter, header=header, head=head).write(folders[-1] / "adapter.safetensors")
        yield [str(folder) for folder in folders]


@pytest.fixture
def crops(tmp_path: Path) -> list[str]:
    """Three benchmarks in miniature, extracted."""
    folders = []
    for name in ("uadfv", "dfdm", "df40"):
        tree = miniatures.built(tmp_path / name, miniatures.TABLE[name](), miniatures.media)
        folders.append(tmp_path / f"{name}-crops")
        gk.extract(
            gk.dataset(name, tree), folders[-1], extractor="whole-frame", frames=2, time_limit=None
        )
    return [str(folder) for folder in folders]


def test_three_benchmarks_are_scored_by_two_detectors_once(
    detectors: list[str], crops: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("GENDKIT_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "out"
    command = [
        "evaluate", *detectors, "--on", *crops, "--out", str(out), "--resamples", "5", "--json"
    ]  # fmt: skip

    assert main(command) == 0
    first = json.loads(capsys.readouterr().out)
    assert {row["dataset"] for row in first["results"]} == {"uadfv", "dfdm", "df40"}
    assert {row["detector"] for row in first["results"]} == {"one", "two"}
    assert first["scored"] == 2 * sum(len(gk.Manifest.read(folder).faces()) for folder in crops)
    assert len(list((out / "scores").glob("*.parquet"))) == 6
    files = {f: f.stat().st_mtime_ns for f in out.rglob("*") if f.is_file()}

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a detector was loaded or run")

    monkeypatch.setattr(scores, "load", refuse)
    monkeypatch.setattr(scores, "run_over", refuse)
    assert main(command) == 0
    second = json.loads(capsys.readouterr().out)
    assert (second["scored"], second["kept"]) == (0, True)
    assert second["results"] == first["results"]
    assert {f: f.stat().st_mtime_ns for f in out.rglob("*") if f.is_file()} == files

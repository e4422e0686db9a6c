"""Small detectors that differ in their head, and small crops, for the tests of comparisons."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gendkit.model.adapter import Adapter
from gendkit.testing.small import registered, small_backbone, small_detector

Make = Callable[..., Path]


@pytest.fixture
def own_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's cache folder, in which evaluations on final data are noted, is the test's."""
    monkeypatch.setenv("GENDKIT_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def small_base() -> Iterator[Adapter]:
    """An adapter of the small backbone, which is registered."""
    spec = small_backbone()
    with registered(spec):
        yield small_detector(spec).adapter


@pytest.fixture(scope="module")
def run(small_base: Adapter, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Write a run: an adapter with a head of its own, and, if asked for, the record beside it."""
    import torch

    def make(
        name: str, *, head: int = 0, recipe: dict[str, Any] | None = None, record: Any = None,
        crops: dict[str, Any] | None = None,
    ) -> Path:  # fmt: skip
        weight = torch.randn(2, 32, generator=torch.Generator().manual_seed(head)) * 4
        header = replace(small_base.header, recipe=recipe or {}, extraction=crops or {})
        adapter = replace(
            small_base, header=header, head={"weight": weight, "bias": torch.zeros(2)}
        )
        folder = tmp_path_factory.mktemp("runs") / name
        folder.mkdir()
        adapter.write(folder / "adapter.safetensors")
        if record is not None:
            text = json.dumps({"adapter": adapter.hash, **record})
            (folder / "run.json").write_text(text)
        return folder

    return make

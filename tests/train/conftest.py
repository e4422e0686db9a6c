"""Small crops and a recipe that trains on them in a second."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import gendkit as gk
from gendkit.data.manifest import Manifest
from gendkit.progress import silent
from gendkit.testing.small import registered, small_backbone, small_crops
from gendkit.train.checkpoint import checkpoint_path
from gendkit.train.course import log_paths
from gendkit.train.engine import Run
from gendkit.train.recipe import Recipe

Fit = Callable[..., Run]


@dataclass(frozen=True, kw_only=True)
class Sets:
    train: Manifest
    validation: Manifest


@pytest.fixture(scope="session")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Sets:
    """32 crops of four people to train on, 16 of two others to validate on."""
    root = tmp_path_factory.mktemp("crops")
    for name in ("train", "validation"):
        (root / name).mkdir()
    return Sets(
        train=small_crops(root / "train"),
        validation=small_crops(root / "validation", identities=("eve", "fay"), seed=1),
    )


@pytest.fixture(autouse=True)
def small() -> Iterator[None]:
    """The small backbone, known by its name."""
    with registered(small_backbone()):
        yield


@pytest.fixture
def recipe() -> Recipe:
    return Recipe(
        name="tiny",
        backbone="small",
        losses={"cross-entropy": 1.0, "uniformity": 0.5, "alignment": 0.1},
        dtype="float32",
        learning_rate=1e-2,
        batch_size=8,
        epochs=2,
        warmup_epochs=1,
        cycle_epochs=1,
        augmentation="light",
        selection={"data": "eve and fay", "metric": "auroc"},
    )


@pytest.fixture
def fit(recipe: Recipe, sets: Sets) -> Fit:
    """Train the tiny recipe, changed, on the small crops."""

    def run(
        *,
        out: Path | None = None,
        overwrite: bool = False,
        compile: bool = False,
        **changes: Any,
    ) -> Run:
        return gk.fit(
            Recipe.of(recipe, **changes),
            sets.train,
            sets.validation,
            out=out,
            overwrite=overwrite,
            compile=compile,
            device="cpu",
            progress=lambda *_: None,
        )

    return run


class Interrupted(Exception):
    """What ends a run in these tests where no process needs to die."""


def trained(recipe: Recipe, sets: Sets, **options: Any) -> Run:
    given = {"device": "cpu", "progress": silent, **options}
    return gk.fit(recipe, sets.train, sets.validation, **given)


def interrupted(recipe: Recipe, sets: Sets, out: Path, *, after: int, **options: Any) -> Path:
    """Begin a run, end it after a step, and return the place of its checkpoint."""

    def stop(done: int, total: int, text: str) -> None:
        if done == after:
            raise Interrupted

    with pytest.raises(Interrupted):
        trained(recipe, sets, out=out, progress=stop, **options)
    return checkpoint_path(out)


def left(folder: Path) -> list[str]:
    """Return the names of what a run left in a folder, the log of `run` left out."""
    logs = {path.name for path in log_paths(folder / "run")}
    return sorted(path.name for path in folder.iterdir() if path.name not in logs)

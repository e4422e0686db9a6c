"""A part of each kind, written in a cell: one line makes it known, the next uses it by name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import gendkit as gk
from gendkit.data.manifest import Manifest
from gendkit.model.backbone import build_backbone
from gendkit.plugin import (
    BackboneFamily,
    Clip,
    DatasetSpec,
    EpochEnded,
    Face,
    FaceExtractorSpec,
    LossInputs,
    LossSpec,
    ResolvedBackbone,
    hookimpl,
)
from gendkit.progress import silent
from gendkit.testing.small import DIM, SIDE, small_backbone, small_crops, small_detector
from gendkit.train.recipe import Recipe
from gendkit.train.run import Run

POINTS = np.array([[12, 16], [20, 16], [16, 20], [13, 25], [19, 25]], dtype=np.float32)


@pytest.fixture(autouse=True)
def _fresh(fresh: None) -> None:
    """What a test registers is forgotten."""


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifest, Manifest]:
    first, second = tmp_path_factory.mktemp("train"), tmp_path_factory.mktemp("validation")
    people = ("eve", "fay")
    return small_crops(first), small_crops(second, identities=people, seed=1)


def fit(sets: Sequence[Manifest], **changes: Any) -> Run:
    values: dict[str, Any] = {
        "name": "cell", "backbone": "mine", "losses": {"cross-entropy": 1.0}, "dtype": "float32",
        "batch_size": 8, "epochs": 1, "warmup_epochs": 0, "cycle_epochs": 1,
        "augmentation": "light", "selection": {"data": "eve and fay", "metric": "auroc"},
    }  # fmt: skip
    return gk.fit(Recipe(**{**values, **changes}), *sets, progress=silent)


def test_a_backbone_is_built_and_trained_by_its_name(sets: Sequence[Manifest]) -> None:
    gk.register(small_backbone("mine"))
    features = build_backbone("mine")(torch.zeros(2, 3, SIDE, SIDE))
    assert features.shape == (2, DIM)
    run = fit(sets)
    assert run.record["backbone"]["name"] == "mine"
    assert run.record["backbone"]["source"] == "registered here"


def test_a_family_is_resolved_and_trained_by_its_pattern(sets: Sequence[Manifest]) -> None:
    spec = small_backbone("mine")
    facts = {"dim": spec.dim, "image_size": spec.image_size, "build": spec.build, "licence": "MIT"}

    def resolve(key: str) -> ResolvedBackbone:
        return ResolvedBackbone(name=f"mine:{key}", summary="small", **facts)

    gk.register(
        BackboneFamily(
            name="mine", pattern="mine:KEY", summary="small", licence="MIT", resolve=resolve
        )
    )
    assert fit(sets, backbone="mine:one").record["backbone"]["name"] == "mine:one"


def test_an_adapter_on_a_backbone_of_a_cell_is_loaded_by_its_name(tmp_path: Path) -> None:
    spec = small_backbone("mine")
    gk.register(spec)
    small_detector(spec).adapter.write(tmp_path / "adapter.safetensors")
    assert gk.load(tmp_path / "adapter.safetensors").spec.name == "mine"


def test_a_loss_is_trained_by_its_name_with_its_options(sets: Sequence[Manifest]) -> None:
    seen: list[float] = []

    def build(*, gain: float = 1.0) -> Any:
        def loss(inputs: LossInputs) -> Tensor:
            seen.append(gain)
            return gain * inputs.logits.square().mean()

        return loss

    gk.register([small_backbone("mine"), LossSpec(name="my-loss", summary="a loss", build=build)])
    run = fit(sets, losses={"my-loss": {"weight": 1.0, "gain": 2.0}})
    assert set(seen) == {2.0}
    assert "my-loss" in run.history.columns


def face(image: np.ndarray, /) -> list[Face]:
    return [Face(box=(8, 8, 24, 28), landmarks=POINTS, confidence=0.9)]


class Pictures:
    """Two pictures of a folder, one real and one fake."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def clips(self) -> Iterable[Clip]:
        for label, name in enumerate(("real", "fake")):
            yield Clip(
                video=name, media=self._root / f"{name}.png", dataset="my-data", label=label,
                method="swap" if label else "", family="swap" if label else "", pair="real",
            )  # fmt: skip


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, grey in (("real", 80), ("fake", 160)):
        Image.fromarray(np.full((32, 32, 3), grey, dtype=np.uint8)).save(folder / f"{name}.png")
    return folder


class Finder:
    threshold = 0.25
    __call__ = staticmethod(face)


def test_a_dataset_is_opened_by_its_name_and_its_faces_by_that_of_an_extractor(
    pictures: Path, tmp_path: Path
) -> None:
    gk.register(DatasetSpec(name="my-data", summary="two", licence="MIT", build=Pictures))
    gk.register(
        FaceExtractorSpec(
            name="my-faces", summary="one", licence="MIT", build=Finder, threshold=0.25
        )
    )
    found = gk.extract(gk.dataset("my-data", pictures), tmp_path / "out", extractor="my-faces")
    assert found.table["label"].tolist() == [0, 1]
    assert found.meta["extractor"] == "my-faces"
    assert found.meta["extractor_source"] == "registered here"
    assert found.table["confidence"].tolist() == pytest.approx([0.9, 0.9])


def test_a_clip_is_scored_with_a_face_extractor_by_its_name(pictures: Path) -> None:
    spec = small_backbone("mine")
    blind = FaceExtractorSpec(
        name="blind", summary="none", licence="MIT", build=lambda: lambda image: [], threshold=0.5
    )
    gk.register([spec, blind])
    gk.register(
        FaceExtractorSpec(name="my-faces", summary="f", licence="MIT", build=Finder, threshold=0.25)
    )
    detector = small_detector(spec)
    assert detector.score(pictures / "real.png", extractor="my-faces").score is not None
    assert detector.score(pictures / "real.png", extractor="blind").score is None


def test_a_tracker_object_is_told_of_the_next_run(sets: Sequence[Manifest]) -> None:
    class Notes:
        def __init__(self) -> None:
            self.losses: list[float] = []

        @hookimpl
        def gendkit_epoch_ended(self, epoch: EpochEnded) -> None:
            self.losses.append(epoch.row["loss"])

    notes = Notes()
    gk.register(small_backbone("mine"))
    gk.register(notes)
    run = fit(sets)
    assert notes.losses == pytest.approx(run.history["loss"].tolist())

"""The types are for plugin authors too: each kind of plugin, as documented, passes mypy --strict.

The plugins are checked against the installed wheel, away from this checkout, as a stranger's are.
"""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

PLUGINS = {
    "backbone": '''
from collections.abc import Iterator

import torch
from gendkit.plugin import Backbone, BackboneFamily, BackboneSpec, ResolvedBackbone, hookimpl


@hookimpl
def gendkit_backbones() -> Iterator[BackboneSpec | BackboneFamily]:
    yield BackboneSpec(
        name="stranger", summary="one layer norm", licence="MIT", dim=3, image_size=8, build=build
    )
    yield BackboneFamily(
        name="all", pattern="all:KEY", summary="many", licence="theirs", resolve=resolve
    )


def resolve(key: str) -> ResolvedBackbone:
    return ResolvedBackbone(
        name=f"all:{key}", summary="one", licence="MIT", dim=3, image_size=8, build=build
    )


class Tower(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = torch.nn.LayerNorm(3)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.norm(pixels.mean((2, 3)))
        return features


def build(*, pretrained: bool = True) -> Backbone:
    return Tower()
''',
    "face_extractor": '''
from collections.abc import Iterable

import numpy as np
from gendkit.plugin import Face, FaceExtractor, FaceExtractorSpec, hookimpl
from numpy.typing import NDArray


class Finder:
    def __init__(self, threshold: float) -> None:
        self.threshold = threshold

    def __call__(self, image: NDArray[np.uint8], /) -> list[Face]:
        points = np.zeros((5, 2), dtype=np.float32)
        return [Face(box=(0.0, 0.0, 1.0, 1.0), landmarks=points, confidence=0.5)]


def build(*, threshold: float | None = None) -> FaceExtractor:
    return Finder(0.5 if threshold is None else threshold)


@hookimpl
def gendkit_face_extractors() -> Iterable[FaceExtractorSpec]:
    return [
        FaceExtractorSpec(name="finder", summary="s", licence="MIT", build=build, threshold=0.5)
    ]
''',
    "loss": '''
from collections.abc import Iterator

from gendkit.plugin import Loss, LossInputs, LossSpec, hookimpl
from torch import Tensor, nn


@hookimpl
def gendkit_losses() -> Iterator[LossSpec]:
    yield LossSpec(name="function", summary="a function", build=build, reference="none")
    yield LossSpec(name="module", summary="a module", build=Centres)


def build(*, gamma: float = 2.0) -> Loss:
    def loss(inputs: LossInputs) -> Tensor:
        return gamma * inputs.logits.square().mean()

    return loss


class Centres(nn.Module):
    def __init__(self, *, dim: int, seed: int) -> None:
        super().__init__()
        self.centre = nn.Linear(dim, 1)

    def forward(self, inputs: LossInputs) -> Tensor:
        value: Tensor = self.centre(inputs.embeddings).mean()
        return value


def module(*, dim: int) -> Loss:
    return Centres(dim=dim, seed=0)
''',
    "dataset": '''
from collections.abc import Iterator
from pathlib import Path

from gendkit.errors import MissingMedia
from gendkit.plugin import Clip, Dataset, DatasetSpec, hookimpl


class Folder:
    def __init__(self, root: Path) -> None:
        self.root = root

    def clips(self) -> Iterator[Clip]:
        yield Clip(video="a", media=self.root / "a.mp4", dataset="folder", label=0)


def build(root: Path | None, *, limit: int = 3) -> Dataset:
    if root is None:
        raise MissingMedia("no folder was given.")
    return Folder(root)


@hookimpl
def gendkit_datasets() -> Iterator[DatasetSpec]:
    yield DatasetSpec(name="folder", summary="a folder", licence="MIT", build=build)
''',
    "tracker": '''
from gendkit.plugin import EpochEnded, FitEnded, RunInfo, hookimpl


class Tracker:
    def __init__(self) -> None:
        self.best: dict[str, float] = {}

    @hookimpl
    def gendkit_fit_started(self, run: RunInfo) -> None:
        self.best = {run.name: 0.0}

    @hookimpl
    def gendkit_epoch_ended(self, epoch: EpochEnded) -> None:
        self.best["loss"] = epoch.row["loss"]

    @hookimpl
    def gendkit_fit_ended(self, run: RunInfo, end: FitEnded) -> None:
        if end.record is not None:
            self.best = dict.fromkeys(end.record, 1.0)


plugin = Tracker()
''',
    "cell": '''
import gendkit as gk
from gendkit.plugin import BackboneSpec, LossSpec, Plugins, plugins

spec = LossSpec(
    name="mine", summary="a loss", build=lambda: lambda inputs: inputs.logits.mean()
)
gk.register(spec)
gk.register([spec], name="mine")
found: Plugins = gk.plugins()
reference: str = found.spec("loss", "mine").reference
backbone: BackboneSpec = plugins().spec("backbone", "dinov2-vits14")
''',
}  # fmt: skip

WRONG = '''
from gendkit.plugin import Loss, LossInputs, LossSpec

spec = LossSpec(name="a", summary="b", build=3)
LossSpec("a", "b", print)
spec.name = "c"


def build() -> Loss:
    def loss(inputs: LossInputs) -> str:
        return inputs.nothing

    return loss
'''  # fmt: skip
FOUND = ("arg-type", "call-arg", "misc", "attr-defined", "return-value")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that has the wheel's files, as pip would put them."""
    pytest.importorskip("mypy", reason="the extra 'test' brings mypy")
    pytest.importorskip("hatchling", reason="the extra 'test' brings hatchling")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def mypy(site: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "mypy.ini").write_text("[mypy]\n")  # no settings but those of the command line
    cache = ["--cache-dir", str(site.parent / "cache")]  # torch takes most of the time
    return subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file", "mypy.ini", *cache, "."],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )


def test_the_wheel_says_that_it_is_typed(site: Path) -> None:
    assert (site / "gendkit" / "py.typed").is_file()


@pytest.mark.slow
def test_a_plugin_of_each_kind_passes_mypy_strict(site: Path, tmp_path: Path) -> None:
    for kind, code in PLUGINS.items():
        (tmp_path / f"gendkit_stranger_{kind}.py").write_text(code)
    done = mypy(site, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"no issues found in {len(PLUGINS)} source files" in done.stdout


@pytest.mark.slow
def test_a_plugin_that_breaks_a_type_does_not(site: Path, tmp_path: Path) -> None:
    (tmp_path / "gendkit_wrong.py").write_text(WRONG)
    done = mypy(site, tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    for kind in FOUND:
        assert f"[{kind}]" in done.stdout, done.stdout

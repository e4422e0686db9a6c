"""What tests share: a folder beside the checkout, assets, a detector, fake distributions, a GPU."""

from __future__ import annotations

import importlib
import logging
import os
import signal
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gendkit.plugin import plugins

if TYPE_CHECKING:
    from gendkit.model.detector import Detector

REQUIRE = "GENDKIT_REQUIRE_ASSETS"
SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder `shared` beside the checkout, with photos, clips and reference numbers."""
    if not SHARED.is_dir():
        pytest.skip("there is no folder 'shared' beside the checkout")
    return SHARED


@pytest.fixture(scope="session")
def asset() -> Callable[[str], Path]:
    """A function from an asset's name to its cached path; it never touches the network."""
    from gendkit.data.assets import cached_path
    from gendkit.errors import MissingAsset

    def path(name: str) -> Path:
        try:
            return cached_path(name)
        except MissingAsset as error:
            if os.environ.get(REQUIRE) == "1":
                pytest.fail(f"{REQUIRE}=1, but {error}")
            pytest.skip(str(error))

    return path


@pytest.fixture
def detector() -> Iterator[Detector]:
    """The small backbone with the layer norms of its base and a random head."""
    from gendkit.testing.small import registered, small_backbone, small_detector

    spec = small_backbone()
    with registered(spec):
        yield small_detector(spec)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that needs a CUDA device where there is none."""
    if item.get_closest_marker("gpu") is not None:
        torch = pytest.importorskip("torch")
        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device")


@pytest.fixture(scope="session")
def studied(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder of each study by its name, its margins drawn and not trained for."""
    import numpy as np

    from gendkit.evaluate.study.catalogue import STUDIES
    from gendkit.evaluate.study.cells import Cells
    from gendkit.measure import intervals
    from gendkit.measure.intervals import crossed
    from gendkit.notebook.study import study
    from gendkit.progress import silent
    from gendkit.testing.small import registered, small_backbone, small_families

    def drawn(cells: Cells, cell: object, key: str) -> object:
        labels = cells.manifest.labels()[cells.scored]
        noise = np.random.default_rng(int(key[:8], 16)).normal(size=len(labels))
        return (noise + labels).astype(np.float32)

    few = {"resamples": 40}
    crops, root = tmp_path_factory.mktemp("families"), tmp_path_factory.mktemp("studies")
    manifest = small_families(crops, people=6)
    with pytest.MonkeyPatch.context() as patch, registered(small_backbone()):
        patch.setattr(Cells, "margins", drawn)
        patch.setattr(intervals, "crossed", lambda *a, **k: crossed(*a, **{**k, **few}))
        changes = {"backbone": "small", "image_size": None}
        for name in STUDIES:
            options = {"by": "family"} if name == "difficulty" else {}
            study(name, manifest, out=root / name, changes=changes, seeds=(0, 1), options=options,
                  device="cpu", progress=silent)  # fmt: skip
    return {name: root / name for name in STUDIES}


Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """A function that installs a distribution with one module and one entry point."""
    site = tmp_path / "site-packages"
    site.mkdir()
    monkeypatch.syspath_prepend(site)
    modules: list[str] = []

    def make(
        name: str,
        code: str,
        *,
        version: str = "1.2",
        plugin: str | None = None,
        requires: Sequence[str] = (),
        extras: Sequence[str] = (),
        module: str | None = None,
        attribute: str = "",
    ) -> None:
        module = module or f"{name.replace('-', '_')}_module"
        modules.append(module)
        (site / f"{module}.py").write_text(textwrap.dedent(code))
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        lines += [f"Provides-Extra: {extra}" for extra in extras]
        lines += [f"Requires-Dist: {requirement}" for requirement in requires]
        (info / "METADATA").write_text("\n".join([*lines, ""]))
        named = f"{module}:{attribute}" if attribute else module
        (info / "entry_points.txt").write_text(f"[gendkit]\n{plugin or name} = {named}\n")

        importlib.invalidate_caches()

    yield make
    for module in modules:
        sys.modules.pop(module, None)


@pytest.fixture(autouse=True)
def _log(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The command line sets up the log of its process; a test that runs it puts that back."""
    monkeypatch.setenv("HF_HUB_VERBOSITY", "error")
    loggers = [logging.getLogger(name) for name in (None, "gendkit", "huggingface_hub")]
    handlers, levels = loggers[0].handlers[:], [logger.level for logger in loggers]
    yield
    loggers[0].handlers[:] = handlers
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.fixture
def fresh() -> Iterator[None]:
    """The process's plugins are found anew inside the test, and again after it."""
    plugins.cache_clear()
    yield
    plugins.cache_clear()


LOSS = """
from gendkit.plugin import LossSpec, hookimpl

@hookimpl
def gendkit_losses():
    yield LossSpec(name={name!r}, summary="a loss", build=lambda: 17)
"""


@pytest.fixture
def loss_plugin() -> Callable[[str], str]:
    """The code of a plugin that gives one loss of a name."""
    return lambda name: LOSS.format(name=name)


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    """That of this process, which is left as it was."""
    before = dict(os.environ)
    yield before
    os.environ.clear()
    os.environ.update(before)


@dataclass
class Workers:
    """Two workers of a cluster; as a `progress`, it kills one of them at the first step."""

    scheduler: str
    pids: Callable[[], dict[str, int]]
    killed: list[int] = field(default_factory=list)

    def __call__(self, done: int, total: int, text: str) -> None:
        if not self.killed:
            self.killed.append(min(self.pids().values()))
            os.kill(self.killed[0], signal.SIGKILL)


@pytest.fixture
def workers(environment: dict[str, str]) -> Iterator[Workers]:
    """A cluster of two processes."""
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield Workers(cluster.scheduler_address, lambda: client.run(os.getpid))

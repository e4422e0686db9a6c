"""Fake distributions: what an installed plugin looks like to Python."""

from __future__ import annotations

import importlib
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """A function that installs a distribution with one module and one entry point."""
    site = tmp_path / "site-packages"
    site.mkdir()
    monkeypatch.syspath_prepend(site)
    modules: list[str] = []

    def make(name: str, code: str, *, version: str = "1.2", plugin: str | None = None) -> None:
        module = f"{name.replace('-', '_')}_module"
        modules.append(module)
        (site / f"{module}.py").write_text(textwrap.dedent(code))
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[gendkit]\n{plugin or name} = {module}\n")

        importlib.invalidate_caches()

    yield make
    for module in modules:
        sys.modules.pop(module, None)


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

"""`gendkit app`: what it would serve, and one line on nonsense."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

from gendkit.cli import app as module
from gendkit.testing.small import small_crops

Run = Callable[..., Any]


@pytest.fixture
def store(gendkit: Run, adapter: Path, tmp_path: Path) -> Path:
    (tmp_path / "crops").mkdir()
    small_crops(tmp_path / "crops", frames=1)
    assert gendkit("embed", tmp_path / "crops", tmp_path / "r", "--adapter", adapter).code == 0
    return tmp_path / "r"


def test_the_page_is_on_loopback_with_a_token_that_no_list_of_processes_shows(
    gendkit: Run, adapter: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    class Server:
        def __init__(self, command: list[str], *, cwd: str, env: dict[str, str]) -> None:
            seen.update(command=command, env=env)
            seen["about"] = json.loads((Path(cwd) / "voila.json").read_text())
            seen["notebook"] = nbformat.read(Path(cwd) / command[-1], as_version=4)
            seen["template"] = list(Path(cwd).rglob("index.html.j2"))

        def wait(self, timeout: float | None = None) -> int:
            return 0

        def send_signal(self, number: int) -> None:
            seen["ended"] = number

    monkeypatch.setattr(module.subprocess, "Popen", Server)
    monkeypatch.setattr("gendkit.optional.require", lambda *_, **__: None)
    said = gendkit("app", store, "--adapter", adapter, "--no-browser")
    assert said.code == 0, said.err
    voila = seen["about"]["Voila"]
    assert voila["ip"] == "127.0.0.1"
    assert len(voila["token"]) >= 32
    assert f"http://127.0.0.1:{voila['port']}/?token={voila['token']}" in said.out
    assert voila["token"] not in " ".join(seen["command"])
    assert seen["about"]["VoilaConfiguration"]["strip_sources"]
    nbformat.validate(seen["notebook"])
    assert seen["ended"] == signal.SIGINT
    settings = json.loads(seen["env"]["GENDKIT_APP"])
    assert settings["store"] == str(store.resolve())
    assert len(seen["template"]) == 1


def test_the_template_asks_for_nothing_from_elsewhere() -> None:
    from importlib import resources

    page = resources.files("gendkit.notebook") / "template" / "index.html.j2"
    assert "http" not in page.read_text("utf-8")


def test_nonsense_is_told_in_one_line(
    gendkit: Run, adapter: Path, store: Path, tmp_path: Path
) -> None:
    pytest.importorskip("voila", reason="voila is not installed")
    pytest.importorskip("jscatter", reason="jupyter-scatter is not installed")
    for arguments, code, words in [
        (("app", tmp_path / "none", "--adapter", adapter), 1, "no embeddings"),
        (("app", store, "--adapter", tmp_path / "none"), 1, "no"),
        (("app", store), 2, "--adapter"),
        (("app", "--adapter", adapter), 1, "reference.zarr"),
        (("app", store, "--adapter", adapter, "--port", 99999), 2, "port"),
    ]:
        said = gendkit(*arguments)
        assert said.code == code, said
        assert len(said.complaints) == 1
        assert words in said.complaints[0]

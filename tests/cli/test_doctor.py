"""`gendkit doctor`: what it says of a sound and of an unsound installation."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from gendkit.cli import doctor
from gendkit.data.assets import ASSETS
from gendkit.errors import PluginError

Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache, no hub, and only quick imports."""
    monkeypatch.setenv("GENDKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(doctor, "NEEDED", ("json",))


def test_a_fresh_machine_is_well_and_told_what_will_be_fetched(gendkit: Run):
    said = gendkit("doctor")
    assert said.code == 0, said.out
    assert said.err == ""
    assert "torch" in said.out
    assert all(f"{name} missing" in said.out for name in ASSETS)
    assert "will be fetched when first used (99.3 MB)" in said.out
    assert "not in reach: HF_HUB_OFFLINE is set" in said.out
    assert said.out.splitlines()[-1].split(maxsplit=1)[1] == "all is well"


def test_the_same_as_json(gendkit: Run, tmp_path: Path):
    found = json.loads(gendkit("doctor", "--json").out)
    assert found["problems"] == []
    assert found["cache"]["folder"] == str(tmp_path / "cache")
    assert found["cache"]["assets"] == dict.fromkeys(ASSETS, "missing")
    assert found["hub"]["reached"] is False
    assert found["parts"] >= 12
    assert found["versions"]["gendkit"]
    assert not (tmp_path / "cache").exists(), "a doctor changes nothing"


def test_a_module_that_is_missing_or_does_not_load_is_a_problem(
    gendkit: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    (tmp_path / "broken_binary.py").write_text("raise OSError('libgl.so.1: cannot open')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(doctor, "NEEDED", ("json", "gendkit_not_there", "broken_binary"))
    said = gendkit("doctor")
    assert said.code == 1
    problems = [line for line in said.out.splitlines() if line.startswith("problem")]
    assert "gendkit_not_there is not installed" in problems[0]
    assert "broken_binary does not load: OSError: libgl.so.1: cannot open" in problems[1]
    assert "cannot work" in said.out.splitlines()[-1]


def test_two_faiss_builds_are_a_problem(gendkit: Run, monkeypatch: pytest.MonkeyPatch):
    from gendkit import optional

    both = {"faiss-cpu": "1.15.1", "faiss-gpu-cu12": "1.14.0"}
    monkeypatch.setattr(optional, "installed_faiss", lambda: both)
    monkeypatch.setattr(doctor, "NEEDED", ("faiss",))
    said = gendkit("doctor", "--json")
    assert said.code == 1
    found = json.loads(said.out)
    assert found["faiss"] == both
    assert "overwrite each other's module" in found["problems"][0]


def test_a_damaged_asset_is_a_problem_with_the_way_out(gendkit: Run, tmp_path: Path):
    place = tmp_path / "cache" / "centerface" / "centerface.onnx"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"something else")
    said = gendkit("doctor")
    assert said.code == 1
    assert "asset centerface is damaged; run: gendkit assets fetch centerface" in said.out


def test_a_cache_under_a_file_is_a_problem(
    gendkit: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GENDKIT_CACHE", str(tmp_path / "file" / "cache"))
    said = gendkit("doctor")
    assert said.code == 1
    assert "cannot be written, so assets cannot be fetched; set GENDKIT_CACHE" in said.out


def test_plugins_that_clash_are_a_problem(gendkit: Run, monkeypatch: pytest.MonkeyPatch):
    from gendkit import plugin

    def clash() -> None:
        raise PluginError("two plugins give the loss 'a'")

    monkeypatch.setattr(plugin, "plugins", clash)
    said = gendkit("doctor")
    assert said.code == 1
    assert "problem    two plugins give the loss 'a'" in said.out


class Answer(BaseHTTPRequestHandler):
    """Answers with the code that the path names."""

    def do_HEAD(self) -> None:
        self.send_response(int(self.path.strip("/")))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Answer) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("code", "reached"),
    [(200, True), (404, True), (401, True), (403, False), (407, False), (502, False)],
)
def test_the_hub_is_in_reach_if_it_answers_itself(
    server: str, monkeypatch: pytest.MonkeyPatch, code: int, reached: bool
):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", f"{server}/{code}")
    assert doctor.examine().hub["reached"] is reached


def test_a_hub_that_does_not_answer_is_given_up_after_two_seconds(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(doctor, "TIMEOUT", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        start = time.perf_counter()
        hub = doctor._hub()
        assert time.perf_counter() - start < 1.5
    assert hub["reached"] is False
    assert hub["reason"]

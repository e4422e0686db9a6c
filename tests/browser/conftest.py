"""A real browser: JupyterLab on loopback, headless Chromium, and what went wrong or out in it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

REQUIRE = "GENDKIT_REQUIRE_BROWSER"
ARGUMENTS = (
    "--no-sandbox", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--disable-quic", "--enable-unsafe-swiftshader",
    "--use-angle=swiftshader",
)  # fmt: skip
SLOW = "[anywidget] Failed to initialize model."
"""What anywidget says after two seconds, and goes on: on a computer at its limit that is no error.
What a widget that did not come would break is looked for."""
TOKEN = "for-tests-on-loopback"
SETTINGS = {
    "notification": {"checkForUpdates": False, "fetchNews": "false"},
    "themes": {"theme": "JupyterLab Light"},
}


def missing(why: str) -> None:
    """Skip, or fail where a browser is required."""
    if os.environ.get(REQUIRE) == "1":
        pytest.fail(f"{REQUIRE}=1, but {why}")
    pytest.skip(why)


def polled(there: Callable[[], Any], *, seconds: float, what: str) -> Any:
    """Ask again and again until the answer is true, and return it; fail after some seconds."""
    end = time.monotonic() + seconds
    while not (answer := there()):
        if time.monotonic() > end:
            pytest.fail(f"after {seconds:.0f} s still not: {what}")
        time.sleep(0.1)
    return answer


@pytest.fixture
def wait_until() -> Callable[..., Any]:
    """The function `polled`."""
    return polled


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A headless Chromium, by playwright."""
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        missing("playwright is not installed: python -m pip install playwright")
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if executable is None:
        missing("there is no chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(ARGUMENTS))
        yield browser
        browser.close()


@dataclass
class Seen:
    """What a page did: errors on its console, and hosts other than loopback that it asked."""

    errors: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def fail(self, text: str) -> None:
        """Keep an error."""
        if SLOW not in text:
            self.errors.append(text)


@pytest.fixture
def open_page(chromium: Any) -> Iterator[Callable[..., tuple[Any, Seen]]]:
    """A function that opens an address: (page, what it did)."""
    contexts = []

    def open_(
        url: str, *, width: int = 1400, height: int = 1000, wait: str = "load"
    ) -> tuple[Any, Seen]:
        context = chromium.new_context(viewport={"width": width, "height": height})
        contexts.append(context)
        page, seen = context.new_page(), Seen()
        page.on("pageerror", lambda error: seen.fail(str(error)))
        page.on("console", lambda said: seen.fail(said.text) if said.type == "error" else None)
        page.on("request", lambda request: _note(seen, request.url))
        page.on("websocket", lambda socket_: _note(seen, socket_.url))
        page.goto(url, wait_until=wait)
        return page, seen

    yield open_
    for context in contexts:
        context.close()


def _note(seen: Seen, url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme in ("http", "https", "ws", "wss") and parts.hostname != "127.0.0.1":
        seen.hosts.add(str(parts.hostname))


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab, with its own configuration and runtime folders."""

    address: str
    runtime: Path

    def url(self, notebook: str) -> str:
        """Return the address at which a notebook is alone on the page."""
        return f"{self.address}/lab/tree/{notebook}?reset&token={TOKEN}"

    def idle(self) -> bool:
        """Whether a page is connected to the kernel, and the kernel is not at work."""
        try:
            with urllib.request.urlopen(f"{self.address}/api/kernels?token={TOKEN}") as answer:
                kernels = json.load(answer)
        except OSError:  # as long as the kernel starts
            return False
        return any(k["connections"] and k["execution_state"] == "idle" for k in kernels)

    def ask(self, code: str, *, seconds: float = 60) -> str:
        """Run code in the kernel that runs, beside the notebook, and return what it prints."""
        from jupyter_client import BlockingKernelClient

        (file,) = self.runtime.glob("kernel-*.json")
        client = BlockingKernelClient(connection_file=str(file))
        client.load_connection_file()
        # Without the heartbeat: stopped while it starts, it opens sockets until none is left.
        client.start_channels(hb=False)
        said: list[str] = []

        def hear(message: dict[str, Any]) -> None:
            if message["msg_type"] == "stream":
                said.append(message["content"]["text"])

        try:
            client.wait_for_ready(timeout=seconds)  # what is printed before that is not heard
            reply = client.execute_interactive(
                code, timeout=seconds, output_hook=hear, store_history=False
            )
        finally:
            client.stop_channels()
        assert reply["content"]["status"] == "ok", reply["content"]
        return "".join(said).strip()


@contextmanager
def started(folder: Path, own: Path, *, theme: str = "JupyterLab Light") -> Iterator[Lab]:
    """Start JupyterLab on a folder, and stop it at the end.

    Parameters
    ----------
    folder
        With the notebooks.
    own
        An empty folder for what belongs to this server.
    """
    settings = own / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    for name, values in {**SETTINGS, "themes": {"theme": theme}}.items():
        (settings / f"{name}.jupyterlab-settings").write_text(json.dumps(values))
    names = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
    }
    environment = {**os.environ, **{key: str(own / name) for key, name in names.items()}}
    address = f"http://127.0.0.1:{_free_port()}"
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root",
        "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={urlsplit(address).port}",
        "--ServerApp.port_retries=0", f"--ServerApp.root_dir={folder}",
        f"--IdentityProvider.token={TOKEN}",
    ]  # fmt: skip
    with (own / "log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        polled(
            lambda: _answers(server, address, own / "log"), seconds=60, what="JupyterLab answers"
        )
        yield Lab(address=address, runtime=own / "runtime")
    finally:
        server.terminate()
        server.wait(timeout=30)


@pytest.fixture
def start_lab(tmp_path: Path) -> Callable[..., Any]:
    """A function from a folder of notebooks to a context with its JupyterLab."""
    return lambda folder, **options: started(folder, tmp_path / "jupyter", **options)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _answers(server: subprocess.Popen[bytes], address: str, log: Path) -> bool:
    if server.poll() is not None:
        pytest.fail(f"JupyterLab ended with {server.returncode}: {log.read_text()[-2000:]}")
    try:
        with urllib.request.urlopen(f"{address}/api/status?token={TOKEN}", timeout=5):
            return True
    except OSError:
        return False

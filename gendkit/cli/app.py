"""`gendkit app`: the explorer and the clip report as a page on this machine, through Voilà."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
from importlib import resources
from pathlib import Path

import click

from gendkit.cli.options import ADAPTER, DEVICE, FOLDER

GRACE = 10
LOOPBACK = "127.0.0.1"
NOTEBOOK, CONFIGURATION, PAGE = "gendkit.ipynb", "voila.json", "index.html.j2"
BESIDE = "reference.zarr"
SETTINGS, TEMPLATE = "GENDKIT_APP", "gendkit"
POLICY = (
    "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; "
    "connect-src 'self' ws://127.0.0.1:{port} data: blob:; frame-ancestors 'self'"
)
"""What the page may ask for: this server, and what is in it already."""


@click.command()
@click.argument("store", type=FOLDER, required=False)
@ADAPTER
@click.option("--frames", default=32, show_default=True, type=click.IntRange(1),
              help="Frames with a face that are looked at.")  # fmt: skip
@click.option("--draws", default=5, show_default=True, type=click.IntRange(1),
              help="How often crops are moved and frames drawn.")  # fmt: skip
@click.option("--port", type=click.IntRange(0, 65535), default=0,
              help="Of the page [default: one that is free].")  # fmt: skip
@click.option("--no-browser", is_flag=True, help="Only say the address.")
@DEVICE
def app(
    store: Path | None,
    *,
    adapter: Path,
    frames: int,
    draws: int,
    port: int,
    no_browser: bool,
    device: str | None,
) -> int:
    """Serve the clip report and the map of a store as a page on this machine.

    Drop a picture or video, get the page about it, with STORE as the reference; by default the
    reference.zarr beside the adapter's folder, where the demo leaves it. The page is at
    this machine's own address alone and asks for a token, which is in the address that is told.
    Needs gendkit[web,notebook]. Ctrl-C ends it.

    \b
    Example: gendkit app gendkit-demo/reference.zarr --adapter gendkit-demo/run
    """
    from gendkit.manifold.store import ADAPTER as MADE_BY
    from gendkit.manifold.store import open_embeddings
    from gendkit.model.adapter import Adapter
    from gendkit.optional import require

    for package in ("voila", "jscatter"):
        require(package, extra="web,notebook")
    if store is None:
        run = adapter if adapter.is_dir() else adapter.parent
        store = run.resolve().parent / BESIDE
    ds, found = open_embeddings(store), Adapter.read(adapter)
    by = str(ds.attrs.get(MADE_BY, ""))
    if by and by != found.hash:
        raise click.UsageError(
            f"{store} is by the adapter {by[:12]}, and {adapter} is {found.hash[:12]}; give the "
            "one by which the store was made."
        )
    settings = {
        "store": str(store.resolve()),
        "adapter": str(adapter.resolve()),
        "device": device,
        "options": {"frames": frames, "draws": draws},
    }
    port, token = port or _free_port(), secrets.token_urlsafe(24)
    with tempfile.TemporaryDirectory(prefix="gendkit-app-") as folder:
        (Path(folder) / NOTEBOOK).write_text(json.dumps(notebook()), encoding="utf-8")
        # In a file that only this user reads: whoever lists processes sees their arguments.
        about = _configuration(port, token, open_browser=not no_browser)
        (Path(folder) / CONFIGURATION).write_text(json.dumps(about), encoding="utf-8")
        click.echo(f"The page: http://{LOOPBACK}:{port}/?token={token}")
        click.echo("Ctrl-C ends it.")
        sys.stdout.flush()
        _write_template(Path(folder))
        places = [folder, *filter(None, [os.environ.get("JUPYTER_PATH")])]
        environment = {
            **os.environ,
            SETTINGS: json.dumps(settings),
            "JUPYTER_PATH": os.pathsep.join(places),
        }
        command = [sys.executable, "-m", "voila", NOTEBOOK]
        server = subprocess.Popen(command, cwd=folder, env=environment)
        before = signal.signal(signal.SIGTERM, _interrupt)  # else the server would go on alone
        try:
            return server.wait()
        except KeyboardInterrupt:
            return 0
        finally:
            signal.signal(signal.SIGTERM, before)
            _end(server)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _end(server: subprocess.Popen[bytes]) -> None:
    """Stop the server, which ends its kernels itself if it is given some seconds."""
    server.send_signal(signal.SIGINT)
    try:
        server.wait(timeout=GRACE)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _configuration(port: int, token: str, *, open_browser: bool) -> dict[str, object]:
    return {
        "Voila": {
            "ip": LOOPBACK, "port": port, "port_retries": 0, "token": token,
            "open_browser": open_browser, "log_level": "WARN",
            "tornado_settings": {"headers": {"Content-Security-Policy": POLICY.format(port=port)}},
        },
        "VoilaConfiguration": {
            "strip_sources": True, "show_tracebacks": False, "theme": "light",
            "template": TEMPLATE,
        },
        "KernelManager": {"transport": "ipc"},
    }  # fmt: skip


def _write_template(folder: Path) -> None:
    """Lay gendkit's template where Voilà looks for templates."""
    target = folder / "voila" / "templates" / TEMPLATE
    target.mkdir(parents=True)
    (target / "conf.json").write_text(json.dumps({"base_template": "lab"}), encoding="utf-8")
    page = resources.files("gendkit.notebook") / "template" / PAGE
    (target / PAGE).write_text(page.read_text("utf-8"), encoding="utf-8")


def notebook() -> dict[str, object]:
    """Return the notebook that the page is: one cell, which reads its settings where it runs."""
    source = (
        "import json, os\n\n"
        "import gendkit as gk\n"
        "from gendkit.notebook.app import Desk\n\n"
        f'settings = json.loads(os.environ["{SETTINGS}"])\n'
        'detector = gk.load(settings["adapter"], device=settings["device"])\n'
        'Desk(detector, settings["store"], **settings["options"])'
    )
    cell: dict[str, object] = {
        "cell_type": "code", "id": "desk", "execution_count": None, "metadata": {}, "outputs": [],
        "source": source,
    }  # fmt: skip
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return {
        "cells": [cell], "metadata": {"kernelspec": kernel, "title": "gendkit"}, "nbformat": 4,
        "nbformat_minor": 5,
    }  # fmt: skip


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port

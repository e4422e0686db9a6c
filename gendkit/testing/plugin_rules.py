"""Rules about a plugin as a whole: what happens when it is found and listed, and what it states."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from gendkit.plugin.manager import Plugins
from gendkit.plugin.parts import HERE, Part, Source
from gendkit.testing.fresh import in_fresh_process
from gendkit.testing.rules import LeftOut, demand

HEAVY = (
    *("torch", "torchvision", "transformers", "timm", "open_clip", "tensorflow", "keras", "jax"),
    *("numpy", "scipy", "pandas", "xarray", "pyarrow", "sklearn", "skimage", "numba", "faiss"),
    *("cv2", "PIL", "av", "kornia", "matplotlib", "onnxruntime", "datasets", "huggingface_hub"),
    *("lightning", "lightning_fabric", "peft", "pytorch_metric_learning", "tensorboard", "wandb"),
)
"""Packages that take noticeable time to import, which listing must not."""

UNSTATED = ("", "?", "-", "todo", "tbd", "none", "unknown", "n/a", "licence", "license")
"""What is no licence."""

_LISTING = """
import json, os, sys

found = []
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = {
    "os.mkdir", "os.remove", "os.rmdir", "os.rename", "os.link", "os.symlink", "os.truncate",
    "os.chmod", "shutil.move", "shutil.rmtree", "sqlite3.connect", "socket.connect", "socket.bind",
    "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname", "subprocess.Popen", "os.system",
    "os.posix_spawn", "os.fork", "os.exec",
}

def watch(event, arguments):
    if event == "open":
        path, mode, flags = arguments
        if isinstance(flags, int) and flags & WRITING and path != os.devnull:
            found.append(f"opened {path} for writing")
    elif event in CHANGES:
        found.append(f"called {event} with {arguments[:2]!r}")

name, others = sys.argv[1], json.loads(sys.argv[2])
from gendkit.plugin.manager import Plugins
before = set(sys.modules)
sys.addaudithook(watch)
plugins = Plugins(blocked=others)
json.dumps([(part.name, part.spec.summary) for part in plugins.parts])
plugins.listeners
seen = list(found)
broken = [b.reason for b in plugins.broken]
print(json.dumps({
    "loaded": sorted(set(sys.modules) - before), "did": seen, "broken": broken,
    "found": name in plugins.names,
}))
"""


@dataclass(frozen=True)
class PluginUnderCheck:
    """A plugin and its parts.

    Attributes
    ----------
    source
        Where it comes from.
    parts
        All of it; none for a tracker.
    """

    source: Source
    parts: tuple[Part, ...]

    @cached_property
    def listing(self) -> dict[str, Any]:
        """What happened when a fresh process listed this plugin without any other."""
        if self.source.distribution == HERE:
            raise LeftOut("it is registered in this process only; install it to try this.")
        others = sorted(_installed() - {self.source.plugin})
        import json

        seen: dict[str, Any] = in_fresh_process(_LISTING, self.source.plugin, json.dumps(others))
        demand(not seen["broken"], f"it was set aside: {'; '.join(seen['broken'])}")
        demand(seen["found"], "a fresh process does not find it; install it to try this.")
        return seen


def listing_imports_nothing_heavy(plugin: PluginUnderCheck) -> None:
    """Listing the parts imports no heavy package: `build` imports what it needs."""
    loaded = {name.partition(".")[0] for name in plugin.listing["loaded"]}
    heavy = [name for name in HEAVY if name in loaded]
    demand(
        not heavy,
        f"listing imported {', '.join(heavy)}; move those imports into the function that "
        "builds, or into the hook of a tracker.",
    )


def loading_writes_nothing(plugin: PluginUnderCheck) -> None:
    """Loading the plugin writes no file, starts no process and opens no connection."""
    did = plugin.listing["did"]
    demand(not did, f"loading it {'; '.join(did[:3])}; do that when a part is built or used.")


def states_its_licences(plugin: PluginUnderCheck) -> None:
    """Every part that brings weights or media states their licence."""
    for part in plugin.parts:
        licence = getattr(part.spec, "licence", None)
        demand(
            licence is None or licence.strip().lower() not in UNSTATED,
            f"the licence of {part.name} is {licence!r}; name it as its owners do, such as MIT.",
        )


def gives_the_same_parts_twice(plugin: PluginUnderCheck) -> None:
    """Asked twice, the plugin gives the same names with the same facts."""
    from gendkit.plugin.specs import options_of

    if plugin.source.distribution == HERE:
        raise LeftOut("it is registered in this process only; install it to try this.")
    again = {
        (p.kind, p.spec.name): options_of(p.spec)
        for p in Plugins().parts
        if p.source.plugin == plugin.source.plugin
    }
    first = {(p.kind, p.spec.name): options_of(p.spec) for p in plugin.parts}
    demand(
        first == again,
        f"it gave {_names(first)}, and then {_names(again)}; what is given must not depend on "
        "when it is asked for.",
    )


RULES = (
    listing_imports_nothing_heavy,
    loading_writes_nothing,
    states_its_licences,
    gives_the_same_parts_twice,
)


def _names(parts: dict[tuple[Any, str], Any]) -> str:
    return ", ".join(sorted(f"{kind} {name}" for kind, name in parts)) or "nothing"


def _installed() -> set[str]:
    from importlib import metadata

    from gendkit.plugin.hooks import PROJECT

    return {entry.name for entry in metadata.entry_points(group=PROJECT)}

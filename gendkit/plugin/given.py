"""What is registered on the spot: specs that become a plugin, and objects that are none."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from typing import Any

from gendkit.errors import InvalidSpec
from gendkit.plugin import hooks
from gendkit.plugin.calls import checked
from gendkit.plugin.parts import KINDS, Kind, Part, Source
from gendkit.plugin.specs import Spec


class Given:
    """A plugin whose hooks return specs that were given one by one."""

    def __init__(self, specs: Iterable[Any]) -> None:
        known = tuple(t for _, types in KINDS.values() for t in types)
        self._specs = checked(list(specs), "the list to register", known)
        if not self._specs:
            raise InvalidSpec("there is no spec to register in an empty list.")

    @property
    def name(self) -> str:
        """That of the first spec."""
        return str(self._specs[0].name)

    @property
    def pairs(self) -> list[tuple[Kind, Spec]]:
        """Each spec with its kind."""
        return [(kind, spec) for kind in KINDS for spec in self._of(kind)]

    @hooks.hookimpl
    def gendkit_backbones(self) -> list[Any]:
        """Return those of its kind."""
        return self._of("backbone")

    @hooks.hookimpl
    def gendkit_face_extractors(self) -> list[Any]:
        """Return those of its kind."""
        return self._of("face-extractor")

    @hooks.hookimpl
    def gendkit_losses(self) -> list[Any]:
        """Return those of its kind."""
        return self._of("loss")

    @hooks.hookimpl
    def gendkit_datasets(self) -> list[Any]:
        """Return those of its kind."""
        return self._of("dataset")

    def _of(self, kind: Kind) -> list[Any]:
        return [spec for spec in self._specs if isinstance(spec, KINDS[kind][1])]


def parts_of(pairs: Iterable[tuple[Kind, Spec]], source: Source) -> dict[tuple[Kind, str], Part]:
    """Return what a plugin gives, by kind and name.

    Raises
    ------
    InvalidSpec
        If something is given twice.
    """
    parts: dict[tuple[Kind, str], Part] = {}
    for kind, spec in pairs:
        if (kind, spec.name) in parts:
            raise InvalidSpec(f"plugin {source.plugin!r} gives the {kind} {spec.name!r} twice.")
        parts[kind, spec.name] = Part(kind=kind, spec=spec, source=source)
    return parts


def check_plugin(plugin: object) -> None:
    """Refuse a class, function or object that has no hook, and say how it is wrapped in a spec.

    One with a method or function that is named like a hook is left to the manager, which asks for
    the marker.

    Raises
    ------
    InvalidSpec
        If it is no plugin.
    """
    if any(_is_hook(plugin, name) for name in dir(plugin)):
        return
    own = str(getattr(plugin, "__name__", ""))
    called = own if own.isidentifier() else "it"  # by which the cell can name it
    what = f"{called} is a class" if inspect.isclass(plugin) else f"{called} is a function"
    if not inspect.isclass(plugin) and not inspect.isroutine(plugin):
        what = f"it is an object of type {type(plugin).__name__}"
    name = _kebab(own if own.isidentifier() else type(plugin).__name__)
    build = called if inspect.isclass(plugin) else f"lambda: {called}"
    raise InvalidSpec(
        f"{what}, neither a spec nor a plugin with hooks; wrap it in the spec of its kind, such as "
        f"gk.register(LossSpec(name={name!r}, summary='what it does', build={build})); the others "
        "are BackboneSpec, FaceExtractorSpec and DatasetSpec, all of gendkit.plugin."
    )


def _is_hook(plugin: object, name: str) -> bool:
    if name.startswith(f"{hooks.PROJECT}_"):
        return True
    try:
        value = inspect.getattr_static(plugin, name)
    except AttributeError:
        return False
    value = value.__func__ if isinstance(value, staticmethod | classmethod) else value
    return inspect.isroutine(value) and hasattr(value, f"{hooks.PROJECT}_impl")


def _kebab(name: str) -> str:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+", "-", name)
    return re.sub(r"[^a-z0-9-]+", "", words.lower()).strip("-") or "mine"

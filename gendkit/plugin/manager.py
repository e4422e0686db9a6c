"""Finds plugins, keeps their parts apart and says where each part comes from.

Built-in parts come through the same hooks as everybody's. A plugin that fails, or that would end
the process, is set aside with its reason; a misspelt hook or a name given twice is an error,
because going on would change what a name means.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import inspect
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from typing import Any, Literal, overload

import pluggy

from gendkit.errors import InvalidSpec, RefusedPlugin, UnknownPart
from gendkit.markup import card, grid, visible
from gendkit.plugin import hooks
from gendkit.plugin.parts import KINDS, Broken, Kind, Part, Source
from gendkit.plugin.specs import (
    BackboneFamily,
    BackboneSpec,
    DatasetSpec,
    FaceExtractorSpec,
    LossSpec,
    Spec,
)

TOLD = ("gendkit_fit_started", "gendkit_epoch_ended", "gendkit_fit_ended")
BLOCK = "GENDKIT_BLOCK_PLUGINS"
BUILTIN = "gendkit.builtin"
HERE = "registered here"
REASON = 300


@dataclass(frozen=True, kw_only=True)
class Listener:
    """A plugin that implements telling hooks.

    Attributes
    ----------
    source
        Where it comes from; its plugin's name is that by which a run asks for it.
    calls
        By hook, a function that takes all arguments of the hook by name.
    """

    source: Source
    calls: Mapping[str, Callable[..., None]]

    @property
    def always(self) -> bool:
        """Whether it is told of every run: gendkit's own, and what was registered on the spot."""
        return self.source.plugin == BUILTIN or self.source.distribution == HERE


def _version() -> str:
    from gendkit import __version__

    return __version__


class Plugins:
    """The plugins in use and their parts.

    Parameters
    ----------
    discover
        Load every distribution that declares an entry point in the group `gendkit`.
    blocked
        Names of plugins to leave out, besides those in the environment variable
        GENDKIT_BLOCK_PLUGINS (separated by commas).

    Raises
    ------
    RefusedPlugin
        For a misspelt hook, or if two plugins give one name.
    """

    def __init__(self, *, discover: bool = True, blocked: Iterable[str] = ()) -> None:
        self._manager = pluggy.PluginManager(hooks.PROJECT)
        self._manager.add_hookspecs(hooks)
        self._sources: dict[str, Source] = {}
        self._parts: dict[tuple[Kind, str], Part] = {}
        self._broken: list[Broken] = []
        named = (name.strip() for name in os.environ.get(BLOCK, "").split(","))
        self._blocked = {*blocked, *filter(None, named)}
        source = Source(plugin=BUILTIN, distribution="gendkit", version=_version())
        self._add(importlib.import_module(BUILTIN), source)
        if discover:
            for entry in sorted(metadata.entry_points(group=hooks.PROJECT), key=lambda e: e.name):
                self._load(entry)

    @property
    def parts(self) -> tuple[Part, ...]:
        """All parts, by kind and name."""
        order = list(KINDS)
        return tuple(sorted(self._parts.values(), key=lambda p: (order.index(p.kind), p.name)))

    @property
    def broken(self) -> tuple[Broken, ...]:
        """The plugins that were set aside, with their reasons."""
        return tuple(self._broken)

    def __repr__(self) -> str:
        aside = f", {len(self._broken)} set aside" if self._broken else ""
        return f"Plugins({len(self._parts)} parts; plugins: {len(self._sources)}{aside})"

    def _repr_html_(self) -> str:
        rows = [
            (
                *(part.kind, part.name, part.spec.summary, getattr(part.spec, "licence", None)),
                _where(part.source),
            )
            for part in self.parts
        ]
        aside = {f"set aside: {b.source.plugin}": b.reason for b in self._broken}
        return card(repr(self), aside, grid(["kind", "name", "", "licence", "from"], rows))

    @property
    def listeners(self) -> tuple[Listener, ...]:
        """The plugins that are told of training runs, in the order in which they were found."""
        found = []
        for name, source in self._sources.items():
            calls = self._heard(self._manager.get_plugin(name))
            if calls:
                found.append(Listener(source=source, calls=calls))
        return tuple(found)

    def register(self, plugin: object, *, name: str | None = None) -> None:
        """Add a plugin, or parts, that were written on the spot.

        A part replaces the part of its kind and name that was registered before. A plugin, and
        specs with a name, also replace whatever else was registered under their own name.

        Parameters
        ----------
        plugin
            A module or object with hook implementations, a spec, or a list of specs.
        name
            Of the plugin; by default the object's own. Specs need none.

        Raises
        ------
        PluginError
            For a misspelt hook, a part that is no spec, or a name that an installed plugin gives.
            What was registered before is then still there.
        """
        if isinstance(plugin, Spec):
            plugin = [plugin]
        if isinstance(plugin, list | tuple):
            plugin = _Given(plugin)
            if name is None:
                source = Source(plugin=plugin.name, distribution=HERE, version="")
                parts = _parts(plugin.pairs, source)
                self._check_clashes(parts)
                self._parts.update(parts)
                return
        if inspect.isclass(plugin):
            plugin = plugin()
        name = name or getattr(plugin, "__name__", None) or type(plugin).__name__
        old = self._sources.get(name)
        if old is not None and old.distribution != HERE:
            raise RefusedPlugin(
                f"{name!r} is the name of an installed plugin ({old.distribution}); "
                "register yours under another name."
            )
        replaced = self._manager.unregister(name=name) if old is not None else None
        try:
            self._add(plugin, Source(plugin=name, distribution=HERE, version=""))
        except BaseException:
            if replaced is not None:
                self._manager.register(replaced, name=name)
            raise
        # By identity: what was registered without a name may have a source that is equal.
        self._parts = {k: p for k, p in self._parts.items() if p.source is not old}

    def part(self, kind: Kind, name: str) -> Part:
        """Return a part by kind and name; a family's member is resolved.

        Raises
        ------
        UnknownPart
            If no plugin gives it; the message has the closest names and broken plugins.
        """
        found = self._parts.get((kind, name))
        if found is not None and not isinstance(found.spec, BackboneFamily):
            return found
        family, _, key = name.partition(":")
        found = self._parts.get((kind, family))
        if key and found is not None and isinstance(found.spec, BackboneFamily):
            return replace(found, spec=found.spec.resolve(key))
        names = sorted(p.name for p in self._parts.values() if p.kind == kind)
        close = difflib.get_close_matches(name, names, n=3) or names
        hint = "".join(
            f" Plugin {b.source.plugin!r} was set aside: {b.reason}" for b in self._broken
        )
        raise UnknownPart(f"no {kind} is named {name!r}; there is {', '.join(close)}.{hint}")

    @overload
    def spec(self, kind: Literal["backbone"], name: str) -> BackboneSpec: ...
    @overload
    def spec(self, kind: Literal["face-extractor"], name: str) -> FaceExtractorSpec: ...
    @overload
    def spec(self, kind: Literal["loss"], name: str) -> LossSpec: ...
    @overload
    def spec(self, kind: Literal["dataset"], name: str) -> DatasetSpec: ...
    def spec(self, kind: Kind, name: str) -> Any:
        """Return the spec of a part; see `part`."""
        return self.part(kind, name).spec

    def _load(self, entry: metadata.EntryPoint) -> None:
        if entry.name in self._blocked:
            return
        source = _source(entry)
        try:
            plugin = entry.load()
        except (Exception, SystemExit) as error:
            self._set_aside(source, error)
            return
        if (other := self._sources.get(source.plugin)) is not None:
            raise RefusedPlugin(
                f"two plugins are named {entry.name!r}: {_where(other)} and {_where(source)}; "
                f"uninstall one, or leave both out with {BLOCK}={entry.name}"
            )
        try:
            self._add(plugin, source)
        except RefusedPlugin:
            raise
        except (Exception, SystemExit) as error:
            self._set_aside(source, error)

    def _set_aside(self, source: Source, error: BaseException) -> None:
        words = f"{type(error).__name__}: {error}".split()
        reason = "".join(c if c.isprintable() else "?" for c in " ".join(words))
        short = reason if len(reason) <= REASON else f"{reason[: REASON - 1]}…"
        self._broken.append(Broken(source=source, reason=short))

    def _add(self, plugin: Any, source: Source) -> None:
        if source.plugin in self._blocked:
            return
        try:
            self._manager.register(plugin, name=source.plugin)
            self._check_hooks(source)
            parts = self._collect(plugin, source)
            self._check_clashes(parts)
        except BaseException as error:
            if self._manager.get_plugin(source.plugin) is not None:
                self._manager.unregister(name=source.plugin)
            if isinstance(error, pluggy.PluginValidationError):  # a hook with other arguments
                reason = " ".join(str(error).split())
                raise InvalidSpec(f"plugin {source.plugin!r}: {reason}") from None
            raise
        self._sources[source.plugin] = source
        self._parts.update(parts)

    def _check_hooks(self, source: Source) -> None:
        """Refuse a plugin with a hook that does not exist; gendkit would never call it."""
        try:
            self._manager.check_pending()
        except pluggy.PluginValidationError:
            callers = vars(self._manager.hook)
            wrong = [h for h, c in callers.items() if not c.has_spec() and c.get_hookimpls()]
            known = [*(hook for hook, _ in KINDS.values()), *TOLD]
            meant = [m for w in wrong for m in difflib.get_close_matches(w, known, 1, 0.85)]
            hint = f"was {meant[0]} meant?" if meant else f"the hooks are {', '.join(known)}."
            if source.distribution != HERE:
                hint += f" To leave the plugin out: {BLOCK}={source.plugin}"
            raise RefusedPlugin(
                f"plugin {source.plugin!r} ({_where(source)}) implements an unknown hook "
                f"{', '.join(wrong)}; {hint}"
            ) from None

    def _collect(self, plugin: Any, source: Source) -> dict[tuple[Kind, str], Part]:
        """Call the hooks of one plugin and return its parts."""
        pairs: list[tuple[Kind, Spec]] = []
        implemented = bool(self._heard(plugin))
        for kind, (hook, types) in KINDS.items():
            # Each plugin is asked by itself, so that every part has its source.
            caller = getattr(self._manager.hook, hook)
            for call in [i.function for i in caller.get_hookimpls() if i.plugin is plugin]:
                implemented = True
                what = f"{hook} of plugin {source.plugin!r}"
                pairs += [(kind, spec) for spec in _specs(call(), what, types)]
        if not implemented:
            names = ", ".join([*(hook for hook, _ in KINDS.values()), *TOLD])
            raise InvalidSpec(
                f"plugin {source.plugin!r} implements no hook; mark one of {names} with "
                "@gendkit.plugin.hookimpl."
            )
        return _parts(pairs, source)

    def _heard(self, plugin: Any) -> dict[str, Callable[..., None]]:
        """Return what a plugin implements of the telling hooks."""
        return {
            hook: functools.partial(_told, impl.function, impl.argnames)
            for hook in TOLD
            for impl in getattr(self._manager.hook, hook).get_hookimpls()
            if impl.plugin is plugin
        }

    def _check_clashes(self, parts: dict[tuple[Kind, str], Part]) -> None:
        for key, part in parts.items():
            other = self._parts.get(key)
            if other is None or other.source.distribution == HERE:
                continue  # what was registered on the spot is replaced, part by part
            if part.source.distribution == HERE:
                way = "give yours another name."
            else:
                way = f"uninstall one, or leave one out with {BLOCK}={part.source.plugin}"
            first, second = other.source, part.source
            raise RefusedPlugin(
                f"two plugins give the {part.kind} {part.spec.name!r}: {first.plugin!r} "
                f"({_where(first)}) and {second.plugin!r} ({_where(second)}); {way}"
            )


class _Given:
    """A plugin whose hooks return specs that were given one by one."""

    def __init__(self, specs: Iterable[Any]) -> None:
        known = tuple(t for _, types in KINDS.values() for t in types)
        self._specs = _specs(list(specs), "the list to register", known)
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
        return self._of("backbone")

    @hooks.hookimpl
    def gendkit_face_extractors(self) -> list[Any]:
        return self._of("face-extractor")

    @hooks.hookimpl
    def gendkit_losses(self) -> list[Any]:
        return self._of("loss")

    @hooks.hookimpl
    def gendkit_datasets(self) -> list[Any]:
        return self._of("dataset")

    def _of(self, kind: Kind) -> list[Any]:
        return [spec for spec in self._specs if isinstance(spec, KINDS[kind][1])]


def _told(function: Callable[..., object], names: Iterable[str], **arguments: object) -> None:
    function(*(arguments[name] for name in names))


def _specs(given: Any, what: str, types: tuple[type, ...]) -> list[Any]:
    """Return what a hook gave as a list, if it is specs."""
    if not isinstance(given, Iterable):
        raise InvalidSpec(
            f"{what} gave a {type(given).__name__}; it must yield or return a list of specs."
        )
    specs = list(given)
    for spec in specs:
        if not isinstance(spec, types):
            raise InvalidSpec(
                f"{what} gave a {type(spec).__name__}; expected "
                f"{' or '.join(t.__name__ for t in types)}."
            )
    return specs


def _parts(pairs: Iterable[tuple[Kind, Spec]], source: Source) -> dict[tuple[Kind, str], Part]:
    """Return what a plugin gives, if nothing is given twice."""
    parts: dict[tuple[Kind, str], Part] = {}
    for kind, spec in pairs:
        if (kind, spec.name) in parts:
            raise InvalidSpec(f"plugin {source.plugin!r} gives the {kind} {spec.name!r} twice.")
        parts[kind, spec.name] = Part(kind=kind, spec=spec, source=source)
    return parts


def _source(entry: metadata.EntryPoint) -> Source:
    """Say where a plugin comes from, in words that go into listings, errors and records."""
    if entry.dist is None:
        return Source(plugin=visible(entry.name), distribution="?", version="?")
    facts = dict(entry.dist.metadata.json)  # of a damaged distribution, both may be missing
    return Source(
        plugin=visible(entry.name),
        distribution=visible(facts.get("name") or "?"),
        version=visible(facts.get("version") or "?"),
    )


def _where(source: Source) -> str:
    return f"{source.distribution} {source.version}".strip()


@functools.cache
def plugins() -> Plugins:
    """Return the process's plugins, discovered on first use."""
    return Plugins()


def register(plugin: object, *, name: str | None = None) -> None:
    """Register a plugin or part with the process's plugins; see `Plugins.register`."""
    plugins().register(plugin, name=name)

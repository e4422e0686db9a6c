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
from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib import metadata
from typing import Any, Literal, overload

import pluggy

from gendkit.errors import InvalidSpec, RefusedPlugin, UnknownPart
from gendkit.markup import card, grid, masked, visible, words_of
from gendkit.plugin import hooks
from gendkit.plugin.calls import HOOKS, TOLD, Listener, calls_of, tracing
from gendkit.plugin.given import Given, check_plugin, parts_of
from gendkit.plugin.parts import BUILTIN, HERE, KINDS, Blocked, Broken, Kind, Part, Source
from gendkit.plugin.remedies import Need, lacking, needs_of, place_of, remedy_of, told
from gendkit.plugin.specs import (
    BackboneFamily,
    BackboneSpec,
    DatasetSpec,
    FaceExtractorSpec,
    LossSpec,
    ResolvedBackbone,
    Spec,
)

BLOCK = "GENDKIT_BLOCK_PLUGINS"
REASON = 300


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
    InvalidOption
        If the environment variable GENDKIT_TRACE_HOOKS is neither on nor off.
    """

    def __init__(self, *, discover: bool = True, blocked: Iterable[str] = ()) -> None:
        tracing()  # a wrong value is refused here, and not taken for a plugin that fails
        self._manager = pluggy.PluginManager(hooks.PROJECT)
        self._manager.add_hookspecs(hooks)
        self._sources: dict[str, Source] = {}
        self._parts: dict[tuple[Kind, str], Part] = {}
        self._broken: list[Broken] = []
        named = (name.strip() for name in os.environ.get(BLOCK, "").split(","))
        self._blocked = {
            **{name: Blocked(name=name, by="the argument `blocked`") for name in blocked},
            **{name: Blocked(name=name, by=BLOCK) for name in named if name},
        }
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

    @property
    def blocked(self) -> tuple[Blocked, ...]:
        """The names that were to be left out, and the plugins that were."""
        return tuple(self._blocked.values())

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the plugins that are in use, set aside or left out."""
        left_out = (b.name for b in self.blocked if b.source is not None)
        aside = (b.source.plugin for b in self._broken)
        return tuple(dict.fromkeys((*self._sources, *aside, *left_out)))

    @property
    def needs(self) -> Mapping[str, tuple[Need, ...]]:
        """What the plugins in use declare and do not have, by their names.

        Their parts are listed all the same, because listing imports nothing heavy. gendkit's own
        requirements are `gendkit doctor`'s affair.
        """
        used = {name: s.distribution for name, s in self._sources.items() if s.installed}
        found = {distribution: needs_of(distribution) for distribution in set(used.values())}
        return {name: found[of] for name, of in used.items() if found[of]}

    def __repr__(self) -> str:
        aside = f", {len(self._broken)} set aside" if self._broken else ""
        return f"Plugins({len(self._parts)} parts; plugins: {len(self._sources)}{aside})"

    def _repr_html_(self) -> str:
        needs = self.needs
        rows = [
            (
                part.kind,
                part.name,
                told(needs.get(part.source.plugin, ())) or part.spec.summary,
                getattr(part.spec, "licence", None),
                part.source.origin,
            )
            for part in self.parts
        ]
        facts = {f"set aside: {b.source.plugin}": b.explained for b in self._broken}
        facts |= {
            f"left out: {b.name}": f"by {b.by}" + ("" if b.source else ", but there is none")
            for b in self.blocked
        }
        return card(repr(self), facts, grid(["kind", "name", "", "licence", "from"], rows))

    @property
    def listeners(self) -> tuple[Listener, ...]:
        """The plugins that are told of training runs, in the order in which they were found."""
        found = []
        for name, source in self._sources.items():
            calls = calls_of(self._manager, self._manager.get_plugin(name), source)
            if heard := {hook: call for hook, call in calls.items() if hook in TOLD}:
                found.append(Listener(source=source, calls=heard))
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
            For a misspelt hook, a part that is no spec, a name that an installed plugin gives, or
            one that is to be left out. What was registered before is then still there.
        """
        if isinstance(plugin, Spec):
            plugin = [plugin]
        if isinstance(plugin, list | tuple):
            plugin = Given(plugin)
            if name is None:
                source = Source(plugin=plugin.name, distribution=HERE, version="")
                parts = parts_of(plugin.pairs, source)
                self._check_clashes(parts)
                self._parts.update(parts)
                return
        check_plugin(plugin)
        if inspect.isclass(plugin):
            plugin = plugin()
        name = name or getattr(plugin, "__name__", None) or type(plugin).__name__
        old = self._sources.get(name)
        if old is not None and old.distribution != HERE:
            raise RefusedPlugin(
                f"{name!r} is the name of an installed plugin ({old.distribution}); "
                "register yours under another name."
            )
        if (blocked := self._blocked.get(name)) is not None:
            raise RefusedPlugin(f"{name!r} is to be left out, says {blocked.by}.")
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
            If no plugin gives it; the message has the closest names, and the plugins that were set
            aside or left out.
        MissingDependency
            If a family's library is not installed.
        """
        found = self._parts.get((kind, name))
        if found is not None and not isinstance(found.spec, BackboneFamily):
            return found
        family, _, key = name.partition(":")
        found = self._parts.get((kind, family))
        if key and found is not None and isinstance(found.spec, BackboneFamily):
            try:
                return replace(found, spec=found.spec.resolve(key))
            except ImportError as error:
                raise lacking(f"{kind} {name!r}", found.source, error) from error
        names = sorted(p.name for p in self._parts.values() if p.kind == kind)
        close = difflib.get_close_matches(name, names, n=3) or names
        hint = "".join(
            f" Plugin {b.source.plugin!r} was set aside: {b.explained}." for b in self._broken
        )
        left_out = (blocked for blocked in self.blocked if blocked.source is not None)
        hint += "".join(f" Plugin {b.name!r} is left out by {b.by}." for b in left_out)
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

    def source_of(self, spec: Spec) -> Source | None:
        """Return where a spec comes from; None if no plugin gives it."""
        for part in self._parts.values():
            member = isinstance(spec, ResolvedBackbone) and isinstance(part.spec, BackboneFamily)
            if part.spec is spec or (member and spec.name.startswith(f"{part.spec.name}:")):
                return part.source
        return None

    def _load(self, entry: metadata.EntryPoint) -> None:
        source = _source(entry)
        if (blocked := self._blocked.get(entry.name)) is not None:
            self._blocked[entry.name] = replace(blocked, source=source)
            return
        try:
            plugin = entry.load()
            plugin = plugin() if inspect.isclass(plugin) else plugin  # as `register` takes it
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever a module may raise while it is imported
            self._set_aside(source, error)
            return
        if (other := self._sources.get(source.plugin)) is not None:
            raise RefusedPlugin(
                f"two plugins are named {entry.name!r}: {other.origin} and {source.origin}; "
                f"uninstall one, or leave both out with {BLOCK}={entry.name}"
            )
        try:
            self._add(plugin, source)
        except (RefusedPlugin, KeyboardInterrupt):
            raise
        except BaseException as error:  # and in its hooks
            self._set_aside(source, error)

    def _set_aside(self, source: Source, error: BaseException) -> None:
        reason = masked(words_of(error))
        place = visible(place_of(error))
        most = REASON - len(place)
        short = reason.rstrip(".") if len(reason) <= most else f"{reason[: most - 1]}…"
        short += place
        remedy = remedy_of(error, source) if isinstance(error, ImportError) else ""
        self._broken.append(Broken(source=source, reason=short, remedy=remedy))

    def _add(self, plugin: Any, source: Source) -> None:
        if (blocked := self._blocked.get(source.plugin)) is not None:
            self._blocked[source.plugin] = replace(blocked, source=source)
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
                raise InvalidSpec(
                    f"plugin {source.plugin!r}: {reason}; take those that the hook has, by their "
                    "names, which `gendkit plugins hooks` prints."
                ) from None
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
            meant = [m for w in wrong for m in difflib.get_close_matches(w, HOOKS, 1, 0.85)]
            hint = f"was {meant[0]} meant?" if meant else f"the hooks are {', '.join(HOOKS)}."
            if source.distribution != HERE:
                hint += f" To leave the plugin out: {BLOCK}={source.plugin}"
            raise RefusedPlugin(
                f"plugin {source.plugin!r} ({source.origin}) implements an unknown hook "
                f"{', '.join(wrong)}; {hint}"
            ) from None

    def _collect(self, plugin: Any, source: Source) -> dict[tuple[Kind, str], Part]:
        """Call the hooks of one plugin and return its parts."""
        calls = calls_of(self._manager, plugin, source)
        if not calls:
            raise InvalidSpec(
                f"plugin {source.plugin!r} implements no hook; mark one of {', '.join(HOOKS)} with "
                "@gendkit.plugin.hookimpl."
            )
        return parts_of(
            [
                (kind, spec)
                for kind, (hook, _) in KINDS.items()
                if hook in calls
                for spec in calls[hook]()
            ],
            source,
        )

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
                f"({first.origin}) and {second.plugin!r} ({second.origin}); {way}"
            )


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


@functools.cache
def plugins() -> Plugins:
    """Return the process's plugins, discovered on first use."""
    return Plugins()


def register(plugin: object, *, name: str | None = None) -> None:
    """Register a plugin or part with the process's plugins; see `Plugins.register`."""
    plugins().register(plugin, name=name)

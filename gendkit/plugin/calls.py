"""The one place through which every hook is called, one plugin at a time.

A plugin enters; what it implements leaves as a `Call` for each hook. Plugins are not called through
pluggy's broadcast, so that every part has its source and one that fails stops no other. With
GENDKIT_TRACE_HOOKS=1 each call is told on stderr in one line.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pluggy

from gendkit.errors import InvalidOption, InvalidSpec
from gendkit.markup import visible
from gendkit.plugin.parts import BUILTIN, HERE, KINDS, Source

TRACE = "GENDKIT_TRACE_HOOKS"
TOLD = ("gendkit_fit_started", "gendkit_epoch_ended", "gendkit_fit_ended")
HOOKS = (*(hook for hook, _ in KINDS.values()), *TOLD)


@dataclass(frozen=True, kw_only=True)
class Call:
    """A hook, as one plugin implements it.

    Attributes
    ----------
    hook
        Its name.
    source
        Of the plugin.
    function
        What the plugin wrote.
    names
        The arguments that it takes, of those that the hook has.
    trace
        Whether each call is told on stderr.
    """

    hook: str
    source: Source
    function: Callable[..., object]
    names: tuple[str, ...]
    trace: bool = False

    def __call__(self, **arguments: object) -> list[Any]:
        """Call it with all arguments of the hook; return its specs, of a telling hook none.

        Raises
        ------
        InvalidSpec
            If it gives something else than it must.
        """
        if not self.trace:
            return self._made(arguments)
        start, outcome = time.perf_counter(), "told"
        try:
            given = self._made(arguments)
            if self.hook not in TOLD:
                named = ", ".join(spec.name for spec in given)
                outcome = f"{len(given)} spec{'s' * (len(given) != 1)}: {named or 'none'}"
        except BaseException as error:
            outcome = f"{type(error).__name__}: {error}"
            raise
        finally:
            took = (time.perf_counter() - start) * 1e3
            self._trace(f"{outcome} [{took:.2f} ms]")
        return given

    def _made(self, arguments: Mapping[str, object]) -> list[Any]:
        given = self.function(*(arguments[name] for name in self.names))
        if self.hook in TOLD:
            return []
        types = next(types for hook, types in KINDS.values() if hook == self.hook)
        return checked(given, f"{self.hook} of plugin {self.source.plugin!r}", types)

    def _trace(self, outcome: str) -> None:
        who = f"{self.source.plugin} ({self.source.origin})"
        if sys.stderr is not None:  # there is none under pythonw
            sys.stderr.write(visible(f"gendkit: hook {self.hook} of {who}: {outcome}") + "\n")


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
    calls: Mapping[str, Callable[..., object]]

    @property
    def always(self) -> bool:
        """Whether it is told of every run: gendkit's own, and what was registered on the spot."""
        return self.source.plugin == BUILTIN or self.source.distribution == HERE


def tracing() -> bool:
    """Tell whether GENDKIT_TRACE_HOOKS asks for each call to be told.

    Raises
    ------
    InvalidOption
        If it is neither 1 or true, nor 0, false or empty.
    """
    asked = os.environ.get(TRACE, "").strip()
    if asked.lower() not in ("", "0", "false", "1", "true"):
        raise InvalidOption(f"{TRACE} is {asked!r}; it can be 1 or true, and 0, false or not set.")
    return asked.lower() in ("1", "true")


def calls_of(manager: pluggy.PluginManager, plugin: object, source: Source) -> dict[str, Call]:
    """Return what a registered plugin implements, by hook."""
    trace = tracing()
    return {
        hook: Call(
            hook=hook,
            source=source,
            function=impl.function,
            names=tuple(impl.argnames),
            trace=trace,
        )
        for hook in HOOKS
        for impl in getattr(manager.hook, hook).get_hookimpls()
        if impl.plugin is plugin
    }


def checked(given: object, what: str, types: tuple[type, ...]) -> list[Any]:
    """Return what a hook gave as a list, if it is specs.

    Raises
    ------
    InvalidSpec
        If it is not.
    """
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

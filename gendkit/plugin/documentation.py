"""What is written about the hooks, made from the hooks themselves.

The hookspecs and the docstrings of what they take and give enter; Markdown leaves: `table` for
CONTRIBUTING.md, `reference` for `gendkit plugins hooks`. What is not documented is told by
`undocumented`, and a test fails for it.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from gendkit.plugin import hooks, protocols

VALUES = (protocols.Face, protocols.Frame, protocols.Clip, protocols.LossInputs)
"""What passes between gendkit and a built part."""


@dataclass(frozen=True, kw_only=True)
class Hook:
    """A hookspec, as it is written down.

    Attributes
    ----------
    name
        Such as `gendkit_losses`.
    text
        Its docstring.
    arguments
        By name, the type of each.
    gives
        The types of spec that it gives; none for a hook that tells.
    """

    name: str
    text: str
    arguments: dict[str, type]
    gives: tuple[type, ...]

    @property
    def signature(self) -> str:
        """As a plugin writes it."""
        takes = ", ".join(f"{name}: {kind.__name__}" for name, kind in self.arguments.items())
        given = " | ".join(kind.__name__ for kind in self.gives)
        return f"def {self.name}({takes}) -> {f'Iterable[{given}]' if given else 'None'}"


def hooks_of(module: ModuleType = hooks) -> tuple[Hook, ...]:
    """Return the hookspecs of a module, in the order in which they are written."""
    marked = (f for f in vars(module).values() if hasattr(f, f"{hooks.PROJECT}_spec"))
    return tuple(_hook(function) for function in marked)


def table(module: ModuleType = hooks) -> str:
    """Return a Markdown table with a line for each hook."""
    rows = ["| hook | for | takes | gives | `build` returns |", "|---|---|---|---|---|"]
    for hook in hooks_of(module):
        built = [protocol for given in hook.gives if (protocol := built_by(given)) is not None]
        cells = (
            f"`{hook.name}`",
            _first(hook.text).rstrip("."),
            ", ".join(f"`{n}: {t.__name__}`" for n, t in hook.arguments.items()),
            " or ".join(f"`{given.__name__}`" for given in hook.gives),
            "; ".join(f"`{p.__name__}`: {_first(p.__doc__ or '').rstrip('.')}" for p in built),
        )
        rows.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(rows) + "\n"


def reference(module: ModuleType = hooks) -> str:
    """Return all about the hooks in Markdown: signatures, and each field of what they exchange."""
    parts = ["# The hooks of gendkit", inspect.cleandoc(module.__doc__ or "")]
    shown: set[type] = set()
    for hook in hooks_of(module):
        parts += [f"## {hook.name}", f"```python\n@hookimpl\n{hook.signature}: ...\n```", hook.text]
        for name, kind in hook.arguments.items():
            parts += _described(f"`{name}` is a", kind, shown)
        for given in hook.gives:
            parts += _described("It gives", given, shown)
            if (protocol := built_by(given)) is not None:
                parts += [f"Its `build` returns a `{protocol.__name__}`.", *_methods(protocol)]
    parts.append("## What passes between gendkit and a part")
    for value in VALUES:
        parts += _described("", value, shown)
    return "\n\n".join(part for part in parts if part) + "\n"


def undocumented(hook: Hook) -> list[str]:
    """Return what nobody explains: the hook itself, its arguments, fields of what it exchanges."""
    missing = [] if hook.text else [f"{hook.name} has no docstring"]
    written = _section(hook.text, "Parameters")
    for name, kind in hook.arguments.items():
        if dataclasses.is_dataclass(kind):
            missing += [f"{hook.name}({name}): {what}" for what in unexplained(kind)]
        elif not written.get(name):
            missing.append(f"{hook.name}({name}) is not among its Parameters")
    for given in hook.gives:
        missing += [f"{hook.name} gives {what}" for what in unexplained(given)]
    return missing


def unexplained(kind: type) -> list[str]:
    """Return the fields of a dataclass that no Attributes section of its docstrings explains."""
    known = attributes_of(kind)
    names = [field.name for field in dataclasses.fields(kind)]
    return [f"{kind.__name__}.{name}" for name in names if not known.get(name)]


def attributes_of(kind: type) -> dict[str, str]:
    """Return what the Attributes sections of a class and of its bases say, by name."""
    known: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        known |= _section(vars(base).get("__doc__") or "", "Attributes")
    return known


def built_by(spec: type) -> type | None:
    """Return the protocol that a spec's `build` returns; None if it has no `build`."""
    fields = {field.name: field for field in dataclasses.fields(spec)}
    if "build" not in fields:
        return None
    # As text: what else stands in the annotations of a spec would import torch.
    name = str(fields["build"].type).rpartition(",")[2].strip(" ]")
    protocol: type = getattr(protocols, name)
    return protocol


def _hook(function: Callable[..., Any]) -> Hook:
    types = typing.get_type_hints(function)
    given = typing.get_args(types.pop("return", None))
    kinds = typing.get_args(given[0]) or given if given else ()
    names = inspect.signature(function).parameters
    return Hook(
        name=function.__name__,
        text=inspect.cleandoc(function.__doc__ or ""),
        arguments={name: types.get(name, object) for name in names},
        gives=tuple(kinds),
    )


def _described(lead: str, kind: type, shown: set[type]) -> Iterator[str]:
    """Yield a sentence about a type, and its fields if they were not shown before."""
    about = f"{lead} `{kind.__name__}`".strip()
    if not dataclasses.is_dataclass(kind):
        yield f"{about}."
        return
    if kind in shown:
        yield f"{about}, see above."
        return
    shown.add(kind)
    yield f"{about}: {_first(kind.__doc__ or '')}"
    known = attributes_of(kind)
    together: dict[str, list[str]] = {}  # fields that share a text
    for field in dataclasses.fields(kind):
        default = "" if field.default is dataclasses.MISSING else f" = {field.default!r}"
        names = together.setdefault(known.get(field.name, ""), [])
        names.append(f"`{field.name}: {field.type}{default}`")
    lines = [f"- {', '.join(names)} – {text}" for text, names in together.items()]
    lines += [
        f"- `{name}` – {_first(value.__doc__ or '')}"
        for name, value in vars(kind).items()
        if isinstance(value, property)
    ]
    yield "\n".join(lines)


def _methods(protocol: type) -> Iterator[str]:
    yield _first(protocol.__doc__ or "")
    lines = []
    for name, value in vars(protocol).items():
        if isinstance(value, property):
            lines.append(f"- `{name}` – {_first(value.__doc__ or '')}")
        elif inspect.isfunction(value) and (name == "__call__" or not name.startswith("_")):
            text = str(inspect.signature(value)).replace("'", "")
            lines.append(f"- `{name}{text}` – {_first(value.__doc__ or '')}")
    yield "\n".join(lines)


def _first(text: str) -> str:
    """Return the first paragraph of a docstring in one line."""
    return " ".join(inspect.cleandoc(text).split("\n\n")[0].split())


def _section(text: str, title: str) -> dict[str, str]:
    """Return the entries of a section of a numpy docstring; names that share a text have it all."""
    lines = [*inspect.cleandoc(text).splitlines(), ""]
    entries: dict[str, str] = {}
    names: list[str] = []
    inside = False
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        if re.fullmatch(r"-{3,}", below):
            inside, names = line == title, []
        elif inside and line[:1].strip() and not re.fullmatch(r"-{3,}", line):
            names = [name.partition(":")[0].strip() for name in line.split(",")]
            entries |= dict.fromkeys(names, "")
        elif inside:
            for name in names:
                entries[name] = f"{entries[name]} {line.strip()}".strip()
    return entries

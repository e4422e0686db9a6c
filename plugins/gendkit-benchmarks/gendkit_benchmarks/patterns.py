"""Paths with named parts, such as `fake/{target}_{donor}`, and what lies below a folder.

A pattern is a path below the root with `/` between folders and without the file's suffix. In it,
`{name}` is a named part, which means the same text wherever it stands; `*` is any text without a
`/`; `**` is any number of folders, or none. Capitals count.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Formatter

PART = re.compile(r"[a-z][a-z0-9_]*")
"""What a part may be called."""
PLAIN = r"[A-Za-z0-9.-]+"
"""What a part may be, if the layout says nothing else: no `_`, which stands between parts."""
_TOKEN = re.compile(r"(\{[^{}]*\}|\*)")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A file below the root, or a folder of pictures that is one clip.

    Attributes
    ----------
    path
        Where it is.
    name
        Below the root, with `/`; a file's without its suffix.
    """

    path: Path
    name: str


def compiled(pattern: str, parts: Mapping[str, str], *, capitals: bool = True) -> re.Pattern[str]:
    """Return a pattern as a regular expression that is to match as a whole.

    Parameters
    ----------
    pattern
        As the module describes it.
    parts
        A regular expression for each part that is not plain.
    capitals
        Whether they count.

    Raises
    ------
    ValueError
        For a pattern that cannot be, or a part that is no regular expression.
    """
    segments = pattern.split("/")
    if not pattern or "" in segments or ".." in segments or "." in segments:
        raise ValueError(
            f"{pattern!r} is no path below the root, such as fake/{{target}}_{{donor}}"
        )
    seen: set[str] = set()
    text = ""
    for number, segment in enumerate(segments, start=1):
        last = number == len(segments)
        if segment == "**":
            text += ".*" if last else "(?:[^/]+/)*"
            continue
        text += "".join(_piece(token, parts, seen) for token in _TOKEN.split(segment))
        text += "" if last else "/"
    try:
        return re.compile(text, re.ASCII if capitals else re.ASCII | re.IGNORECASE)
    except re.error as error:  # of parts that are expressions each, but not one together
        raise ValueError(f"{pattern!r} is no regular expression with its parts: {error}") from None


def parts_of(pattern: str) -> set[str]:
    """Return the names of the parts of a pattern or template.

    Raises
    ------
    ValueError
        For braces that do not close, or with something else than a name in them.
    """
    names = set()
    for _, name, form, conversion in Formatter().parse(pattern):
        if name is None:
            continue
        if form or conversion or not PART.fullmatch(name):
            inside = name + f"!{conversion}" * bool(conversion) + f":{form}" * bool(form)
            raise ValueError(f"{pattern!r} has the part {{{inside}}}; names have a-z, 0-9 and _")
        names.add(name)
    return names


def filled(template: str, parts: Mapping[str, str]) -> str:
    """Return a template with its parts filled in; empty if one of them is not known."""
    if not all(parts.get(name) for name in parts_of(template)):
        return ""
    return template.format_map(parts)


def walk(root: Path, *, is_clip: Callable[[Path, str], bool]) -> Iterator[Entry]:
    """Yield the files below a folder, sorted; a folder that is a clip itself instead of its files.

    Links are followed, but into no folder that they stand in. What is hidden is passed over. A
    folder that cannot be read comes as it is.
    """
    yield from _below(root, "", is_clip, frozenset({os.path.realpath(root)}))


def _below(
    folder: Path, name: str, is_clip: Callable[[Path, str], bool], within: frozenset[str]
) -> Iterator[Entry]:
    try:
        inside = sorted(folder.iterdir())
    except OSError:
        yield Entry(path=folder, name=name.rstrip("/"))
        return
    for path in inside:
        if path.name.startswith("."):
            continue
        below = f"{name}{path.name}"
        if not path.is_dir():
            yield Entry(path=path, name=below.removesuffix(path.suffix))
        elif is_clip(path, below):
            yield Entry(path=path, name=below)
        elif (real := os.path.realpath(path)) not in within:
            yield from _below(path, f"{below}/", is_clip, within | {real})


def _piece(token: str, parts: Mapping[str, str], seen: set[str]) -> str:
    if token == "*":
        return "[^/]*"
    if not token.startswith("{"):
        return re.escape(token)
    (name,) = parts_of(token)
    if name in seen:
        return f"(?P={name})"
    seen.add(name)
    try:
        re.compile(parts.get(name, PLAIN))
    except re.error as error:
        raise ValueError(f"the part {name} is no regular expression: {error}") from None
    return f"(?P<{name}>{parts.get(name, PLAIN)})"

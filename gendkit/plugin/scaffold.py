"""Writes a plugin that works, for its author to change: a distribution with one small part.

A kind and a name enter, a folder leaves. `template` holds a whole distribution a kind, and what is
common to all; in its texts and paths, `my-part` and `my_part` stand for the name.
"""

from __future__ import annotations

import keyword
from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath
from typing import Literal, get_args

from gendkit.errors import InvalidSpec, RefusedPlugin
from gendkit.output import new_folder
from gendkit.plugin.manager import Plugins, plugins
from gendkit.plugin.specs import KEBAB

NewKind = Literal["backbone", "face-extractor", "loss", "dataset", "tracker"]
NEW_KINDS: tuple[NewKind, ...] = get_args(NewKind)

LONGEST = 40
PREFIX = "gendkit-"
COMMON, HIDDEN = "common", "dot-"  # a file .gitignore would be one of ours
MARK = "my-part"


def new_plugin(
    kind: NewKind, name: str, *, out: str | Path | None = None, among: Plugins | None = None
) -> Path:
    """Write a plugin with one part that works, its tests and its project file.

    Parameters
    ----------
    kind
        Of the part.
    name
        Of the part and the plugin, such as `focal`. The distribution is `gendkit-focal`, the
        package `gendkit_focal`.
    out
        The folder to make; `gendkit-NAME` here by default.
    among
        The plugins whose names are taken; those of the process by default.

    Returns
    -------
    The folder.

    Raises
    ------
    InvalidSpec
        If a part cannot have that name.
    RefusedPlugin
        If what is installed has it.
    OutputExists, UnwritableOutput
        If the folder holds something, or cannot be made. Nothing is then written.
    """
    _check_name(name)
    _check_free(kind, name, among if among is not None else plugins())
    path = Path(out) if out is not None else Path(f"{PREFIX}{name}")
    with new_folder(path) as folder:
        for place, text in files_of(kind, name).items():
            file = folder / place
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8", newline="\n")
    return path


def files_of(kind: NewKind, name: str) -> dict[str, str]:
    """Return the text of each file of a new plugin by its path, which has `/` in it."""
    template = resources.files("gendkit.plugin") / "template"
    texts: dict[str, str] = {}
    for folder in (COMMON, kind):  # a kind's own file stands in for the common one
        for path, text in _read(template / folder, PurePosixPath()):
            texts[_filled(path.as_posix(), name)] = _filled(text, name)
    return dict(sorted(texts.items()))


def package_of(name: str) -> str:
    """Return the name by which a plugin's package is imported."""
    return f"{PREFIX}{name}".replace("-", "_")


def _filled(text: str, name: str) -> str:
    return text.replace(MARK.replace("-", "_"), name.replace("-", "_")).replace(MARK, name)


def _read(folder: Traversable, at: PurePosixPath) -> Iterator[tuple[PurePosixPath, str]]:
    for entry in folder.iterdir():
        shown = entry.name
        if shown.startswith(HIDDEN):
            shown = f".{shown.removeprefix(HIDDEN)}"
        if entry.is_file():
            yield at / shown, entry.read_text(encoding="utf-8")
        elif shown != "__pycache__":  # pip compiles what it installs
            yield from _read(entry, at / shown)


def _check_name(name: str) -> None:
    import yaml

    if name == PREFIX[:-1] or name.startswith(PREFIX):
        raise InvalidSpec(
            f"the distribution of {name!r} would be {PREFIX}{name}; leave {PREFIX!r} away, which "
            "is put before it."
        )
    if not KEBAB.fullmatch(name) or len(name) > LONGEST:
        raise InvalidSpec(
            f"a plugin cannot be named {name!r}; names are kebab-case of at most {LONGEST} "
            "letters and digits, such as 'my-part'."
        )
    if keyword.iskeyword(name):
        raise InvalidSpec(f"{name!r} is a word of Python's own; give another name.")
    if not isinstance(yaml.safe_load(name), str):
        raise InvalidSpec(f"{name!r} is no text in a recipe, which is YAML; give another name.")


def _check_free(kind: NewKind, name: str, found: Plugins) -> None:
    for part in found.parts:
        if (part.kind, part.spec.name) == (kind, name):
            where = f"{part.source.distribution} {part.source.version}".strip()
            raise RefusedPlugin(
                f"there is a {kind} {name!r} already, of {where}; give yours another name."
            )
    # Names of plugins are unique too, whatever their parts are.
    for source in (
        *(part.source for part in found.parts),
        *(listener.source for listener in found.listeners),
        *(broken.source for broken in found.broken),
    ):
        if source.plugin == name or source.distribution == f"{PREFIX}{name}":
            raise RefusedPlugin(
                f"a plugin {source.plugin!r} is installed already, by {source.distribution} "
                f"{source.version}; give yours another name."
            )

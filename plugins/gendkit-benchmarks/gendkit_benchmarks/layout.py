"""What a row of the table says of a dataset, and a user's file that corrects or adds one.

`layouts.yaml` beside this module is the table; `layout_of` gives one checked row of it. A user's
file has the same form. Its rows go over those of the table field by field: of groups, tables and
splits only those that it names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from yaml import YAMLError

from gendkit.errors import InvalidOption, MissingMedia, first_line
from gendkit.plugin.specs import KEBAB
from gendkit_benchmarks.facts import Benchmark
from gendkit_benchmarks.patterns import compiled, parts_of
from gendkit_benchmarks.rows import FILE, Rows, parsed, rows

SHOWN = 4
"""Of how many groups an error gives the paths."""
Split = Literal["train", "development", "final"]
WORDS: Mapping[str, Split] = {
    "train": "train", "training": "train",
    "val": "development", "valid": "development", "validation": "development",
    "dev": "development", "development": "development",
    "test": "final", "testing": "final", "final": "final",
}  # fmt: skip
"""What the owners' words for a split mean, if a layout says nothing else."""


def _template(text: str) -> str:
    parts_of(text)
    return text


def _path(text: str) -> str:
    compiled(text, {})
    return text


def _expression(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is no regular expression: {error}") from None
    return text


Text = Annotated[str, Field(min_length=1)]
Template = Annotated[str, AfterValidator(_template)]
Expression = Annotated[str, AfterValidator(_expression)]
Pattern = Annotated[str, AfterValidator(_path)]
Paths = Annotated[tuple[Pattern, ...], Field(min_length=1)]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Group(_Frozen):
    """Clips of one kind: where they lie, and what their names say.

    `id`, `method`, `pair`, `target` and `donor` are templates with parts in braces; one with a part
    that is not known is empty.
    """

    paths: Paths
    """Patterns below the root without the suffix; see `gendkit_benchmarks.patterns`."""
    media: Literal["video", "frames", "picture"] = "video"
    """A video, a folder of pictures that are the frames of one clip, or a picture."""
    label: Literal["real", "fake", "voice"]
    """`voice`: nothing that is seen is fake, but the voice is."""
    id: Template = "{path}"
    """Of the clip, by its name alone; `{path}` is where it lies."""
    method: Template = ""
    """Of a fake; without one it is `unknown`."""
    family: str = ""
    """Kind of manipulation."""
    generator_year: int | None = None
    """If it is another than `gendkit_benchmarks.generators` says."""
    pair: Template = ""
    """The id of the real clip; a real clip is its own pair."""
    target: Template = ""
    """Who is seen."""
    donor: Template = ""
    """Who lent the face."""
    parts: Mapping[str, Expression] = Field(default_factory=dict)
    """What a part may be, if not letters, digits, `.` and `-`."""
    expected: Annotated[int, Field(ge=0)] | None = None
    """How many clips the owners give."""


class Table(_Frozen):
    """A CSV or JSON file of the owners with one row a clip, which says more than the name."""

    paths: Paths
    """Patterns below the root, with the suffix; parts in them hold for all rows."""
    key: Text = "frames"
    """The column with the name of the clip's file."""
    columns: Mapping[str, Text] = Field(default_factory=dict)
    """From a part to their column."""
    list: str = ""
    """In a JSON file, where the list of rows stands."""
    layout: Literal["rows", "deepfakebench"] = "rows"
    """`deepfakebench`: its JSON, of which the splits are taken."""
    groups: tuple[str, ...] = ()
    """Whose clips it is about; without any, all."""


class People(_Frozen):
    """A CSV file of the owners that gives each person a split."""

    paths: Paths
    """Patterns below the root, with the suffix."""
    person: Text
    """The column of the person."""
    split: Text
    """The column of the split."""


class Splits(_Frozen):
    """The owners' splits: of a part `{split}`, of lists of files, or of people."""

    words: Mapping[str, Split] = WORDS
    """What their words mean."""
    lists: Mapping[Split, Paths] = Field(default_factory=dict)
    """Files with one path a line; a line is the id of a clip, with or without a suffix."""
    people: People | None = None
    """A clip has the split of the people in it."""


class Layout(_Frozen):
    """A dataset, as its owners give it out."""

    name: Annotated[str, Field(pattern=f"^{KEBAB.pattern}$")]
    """By which it is asked for."""
    licence: Text
    """As the owners state it."""
    summary: str = "clips that a layout of yours describes"
    """One line about it."""
    homepage: Annotated[str, Field(pattern="^(https://.+)?$")] = ""
    """Where access is given."""
    access: str = ""
    """How."""
    year: int | None = None
    """In which it was released."""
    source: str = ""
    """What says where the files lie and how they are named, and how many there are."""
    verified: bool = False
    """Whether all of it stands in the owners' own documents."""
    unsure: str = ""
    """If not: what a guess is, and what it rests on."""
    groups: Annotated[Mapping[str, Group], Field(min_length=1)]
    """The first that fits counts."""
    tables: Mapping[str, Table] = Field(default_factory=dict)
    """Files with more about the clips; what they say goes over the names."""
    splits: Splits | None = None
    """How the clips are split, if the owners do."""
    expected: Mapping[Literal["real", "fake"], int] = Field(default_factory=dict)
    """How many real and fake clips there are in all, where groups say nothing."""
    ignore: tuple[Pattern, ...] = ()
    """Patterns, with the suffix, of files that are no clips and are passed over in silence."""

    @model_validator(mode="after")
    def _fits(self) -> Layout:
        for table in self.tables.values():
            if strange := [name for name in table.groups if name not in self.groups]:
                raise ValueError(f"tables are about the group {strange[0]!r}, which there is not")
        for name, group in self.groups.items():
            for path in group.paths:
                compiled(path, group.parts)
            named = {part for path in group.paths for part in parts_of(path)}
            more = self._of_tables(name)
            for field in ("id", "method", "pair", "target", "donor"):
                known = named | ({"path"} if field == "id" else more)
                if strange := sorted(parts_of(getattr(group, field)) - known):
                    raise ValueError(
                        f"groups.{name}.{field} has the part {{{strange[0]}}}; known are "
                        f"{', '.join(sorted(known))}"
                    )
        return self

    def _of_tables(self, group: str) -> set[str]:
        """Return the parts that tables may add to a group's clips."""
        tables = [t for t in self.tables.values() if not t.groups or group in t.groups]
        constant = {part for t in tables for path in t.paths for part in parts_of(path)}
        return constant | {part for t in tables for part in t.columns}

    @property
    def benchmark(self) -> Benchmark:
        """What errors and warnings say of it."""
        paths = [f"{name}: {group.paths[0]}" for name, group in self.groups.items()]
        more = f" and {len(paths) - SHOWN} more" if len(paths) > SHOWN else ""
        where = "; ".join(paths[:SHOWN]) + more
        return Benchmark(
            name=self.name, summary=self.summary, licence=self.licence, homepage=self.homepage,
            year=self.year, layout=where,
        )  # fmt: skip


def described(name: str, file: str | Path | None, *, root: Path | None) -> Layout:
    """Return the layout of a dataset that a user's file describes.

    Parameters
    ----------
    name
        Which of the file; empty if there is one only.
    file
        See `layout_of`.
    root
        The folder, for the error that there is no file.

    Raises
    ------
    MissingMedia
        If no file was given.
    InvalidOption
        As `layout_of`.
    """
    if file is None:
        raise MissingMedia(
            f"benchmarks was given {root or 'no folder'} and no layout, expected a YAML file that "
            "says what lies in the folder; write benchmarks:FOLDER -o layout=FILE."
        )
    return layout_of(name, file)


def layout_of(name: str, file: str | Path | None = None) -> Layout:
    """Return a row of the table, with what a user's file says over it.

    Parameters
    ----------
    name
        Of the dataset; empty for the only one of the file.
    file
        A YAML file of the same form as the table.

    Raises
    ------
    InvalidOption
        If the file cannot be read, says nothing of the dataset, or has a field that cannot be,
        which is named.
    """
    table, where = rows(), FILE
    given: Mapping[str, Any] = {}
    if file is not None:
        where, theirs = str(file), _read(Path(file))
        if not name and len(theirs) != 1:
            raise InvalidOption(
                f"{file} has {', '.join(theirs)}; say which is meant with the option dataset."
            )
        name = name or next(iter(theirs))
        if name not in theirs:
            raise InvalidOption(f"{file} says nothing of {name}; it has {', '.join(theirs)}.")
        given = theirs[name]
    if name not in table and not given:
        raise InvalidOption(f"no layout is named {name!r}; there is {', '.join(table)}.")
    try:
        return Layout.model_validate({"name": name, **_over(table.get(name, {}), given)})
    except ValidationError as error:
        raise InvalidOption(f"{where}, {name}: {_told(error)}.") from None


def _read(file: Path) -> Rows:
    try:
        content = parsed(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise InvalidOption(f"layout is {file}, which cannot be read: {reason}.") from None
    except YAMLError as error:
        raise InvalidOption(f"layout is {file}, which is no YAML: {first_line(error)}.") from None
    if not isinstance(content, dict) or not content:
        raise InvalidOption(f"layout is {file}; expected names of datasets with their fields.")
    for name, row in content.items():
        if not isinstance(name, str) or not isinstance(row, dict):
            raise InvalidOption(f"{file}, {name}: expected the fields of a dataset, got {row!r}.")
    found: Rows = content
    return found


def _over(below: Mapping[str, Any], above: Mapping[str, Any], *, depth: int = 0) -> dict[str, Any]:
    """Lay one row over another: mappings of groups, tables and splits field by field."""
    merged = dict(below)
    for name, value in above.items():
        old = merged.get(name)
        if value is None:
            merged.pop(name, None)
        elif depth < 2 and isinstance(value, dict) and isinstance(old, dict):
            merged[name] = _over(old, value, depth=depth + 1)
        else:
            merged[name] = value
    return merged


def _told(error: ValidationError) -> str:
    """Return what is wrong with which fields, in one line."""
    told = []
    errors = error.errors()
    for one in errors:
        depth = len(one["loc"])
        if depth and any(e["loc"][:depth] == one["loc"] for e in errors if len(e["loc"]) > depth):
            continue  # it follows from what is wrong within
        place = ".".join(str(part) for part in one["loc"])
        message = one["msg"].removeprefix("Value error, ")
        message = message.replace("tuple", "list").replace("Tuple", "List")  # as YAML has it
        told.append(f"{place}: {message}" if place else message)
    return "; ".join(told)

"""The rules of a manifest as one pandera schema, and all that breaks them, not only the first.

A manifest enters; a `Finding` for each rule leaves, with a count and up to three examples. Nothing
is changed, and no image is opened. Reading refuses at once what no part could work with
(`Manifest.validated`); this is the long look that a data set gets before it is believed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from gendkit.data.columns import COLUMNS, Column
from gendkit.data.manifest import Manifest
from gendkit.data.rules import Mask, Rule, rules_of
from gendkit.errors import InvalidArgument

if TYPE_CHECKING:
    import pandera.pandas as pa

Verdict = Literal["ok", "warning", "error", "allowed", "left out"]
EXAMPLES = 3
RATIO = 10.0
"""Of frames with a face, how many of one class to one of the other are still no warning."""
TYPES = "types"
_TYPES_TEXT = "each column is there and holds values of its type"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one rule found.

    Attributes
    ----------
    check, text
        The rule's name, and what it asks for in one line.
    verdict
        `ok`; `error` or `warning` if something breaks it; `allowed` if that was allowed by name;
        `left out` if it could not be looked at, or there is nothing that it is about.
    count
        How many rows, clips or groups break it; None if it was left out.
    examples
        Up to three of them.
    """

    check: str
    text: str
    verdict: Verdict
    count: int | None
    examples: tuple[str, ...] = ()


def validate(
    manifest: Manifest,
    *,
    allow: Collection[str] = (),
    split_key: str = "split",
    ratio: float = RATIO,
) -> tuple[Finding, ...]:
    """Look at every rule and return what each found.

    Where a column has another type than it should, that is all that is looked at.

    Parameters
    ----------
    allow
        Names of rules that may be broken; what breaks them is counted and told all the same.
    split_key
        The column whose groups must not share linked clips: `split`, or such as `dataset`.
    ratio
        See `RATIO`.

    Raises
    ------
    InvalidArgument
        For a name of no rule, or a column that cannot be split by.
    """
    check_split_key(split_key)
    rules = rules_of(manifest, split_key=split_key, ratio=ratio)
    check_names(allow, [rule.check for rule in rules])
    table = manifest.table.reset_index(drop=True)
    types, masks = _tried(table, rules)
    found = [finding(TYPES, _TYPES_TEXT, types)]
    if types:
        return (*found, *(left_out(rule.check, rule.text) for rule in rules))
    for rule in rules:
        if not rule.applies(table):
            found.append(left_out(rule.check, rule.text))
            continue
        mask = masks[rule.check]
        rows = table.loc[mask, list(rule.names)].drop_duplicates()
        words: Iterator[str] = ("/".join(map(str, row)) for row in rows.itertuples(index=False))
        if rule.told is not None and mask.any():
            words = rule.told(table, mask)
        found.append(
            finding(
                rule.check, rule.text, list(islice(words, EXAMPLES)),
                count=len(rows), severe=rule.severe, allow=allow,
            )
        )  # fmt: skip
    return tuple(found)


def finding(
    check: str,
    text: str,
    examples: Sequence[str],
    *,
    count: int | None = None,
    severe: bool = True,
    allow: Collection[str] = (),
) -> Finding:
    """Return a finding with its verdict; the count is that of the examples if it is not given."""
    count = len(examples) if count is None else count
    verdict: Verdict = "ok"
    if count:
        verdict = "allowed" if check in allow else "error" if severe else "warning"
    return Finding(
        check=check, text=text, verdict=verdict, count=count, examples=tuple(examples[:EXAMPLES])
    )


def left_out(check: str, text: str) -> Finding:
    """Return that a rule was not looked at."""
    return Finding(check=check, text=text, verdict="left out", count=None)


def check_names(allow: Collection[str], known: Collection[str]) -> None:
    """Refuse to allow what is no rule.

    Raises
    ------
    InvalidArgument
        With the names of those that there are.
    """
    for name in allow:
        if name not in known:
            raise InvalidArgument(
                f"no check that could be allowed is named {name!r}; there is {', '.join(known)}."
            )


def check_split_key(name: str) -> None:
    """Refuse a column that has no names of groups.

    Raises
    ------
    InvalidArgument
        With the columns that have.
    """
    known = [column.name for column in COLUMNS if column.dtype == "string"]
    if name not in known:
        raise InvalidArgument(f"no column {name!r} to split by; there is {', '.join(known)}.")


def schema(rules: Sequence[Rule] = ()) -> pa.DataFrameSchema:
    """Return the manifest's table as a pandera schema: the columns of `COLUMNS`, and rules."""
    import pandera.pandas as pa

    return pa.DataFrameSchema(
        {column.name: _column(column) for column in COLUMNS},
        checks=[
            pa.Check(
                _kept(rule), name=rule.check, error=rule.text,
                ignore_na=False, n_failure_cases=EXAMPLES,
            )
            for rule in rules
        ],
        name="manifest",
    )  # fmt: skip


def _column(column: Column) -> pa.Column:
    import pandera.pandas as pa

    if column.dtype == "list":  # the rules look at each value
        return pa.Column(object, nullable=True)
    if column.dtype != "string":
        return pa.Column(column.dtype, nullable=True)
    # pandas has several types for texts, and an object may be anything: each value is asked.
    text = pa.Check(_texts, name=TYPES, ignore_na=False, n_failure_cases=EXAMPLES)
    return pa.Column(None, checks=text, nullable=True)


def _texts(values: pd.Series[Any]) -> pd.Series[bool]:
    return pd.Series([isinstance(value, str) for value in values], index=values.index, dtype=bool)


def _kept(rule: Rule) -> Callable[[pd.DataFrame], pd.Series[bool]]:
    return lambda table: pd.Series(~rule.broken(table), index=table.index, dtype=bool)


def _tried(table: pd.DataFrame, rules: Sequence[Rule]) -> tuple[list[str], Mapping[str, Mask]]:
    """Return what is wrong with columns, and, if nothing is, which rows break each rule."""
    from pandera.errors import SchemaErrors

    masks = {rule.check: np.zeros(len(table), dtype=bool) for rule in rules}
    try:
        schema(rules).validate(table, lazy=True)
        return [], masks
    except SchemaErrors as error:
        errors: list[Any] = list(error.schema_errors)
    broken = {id(e) for e in errors if getattr(e.check, "name", None) in masks}
    types = [_wrong_type(table, e) for e in errors if id(e) not in broken]
    for e in errors if not types else ():
        if e.check_output is None:  # the rule itself failed, which is a fault of ours
            raise e
        masks[e.check.name] = ~e.check_output.to_numpy(dtype=bool)
    return types, masks


def _wrong_type(table: pd.DataFrame, error: Any) -> str:
    if error.check_output is None:
        return str(error).partition(". Columns in")[0]
    name = error.schema.name
    value = table[name][~error.check_output.to_numpy(dtype=bool)].iloc[0]
    return f"column '{name}' holds {value!r}, expected a text"

"""All that can be said against a manifest before it is believed, as one value.

A manifest enters; a `ManifestCheck` leaves, with what each check found, how well facts about the
files tell real from fake, and how many clips have how many faces. It shows itself in a notebook.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import pandas as pd

from gendkit.data.coverage import ABOUT, LEAST, coverage
from gendkit.data.duplicates import Hashes, Rows, groups_of, read_hashes
from gendkit.data.manifest import Manifest
from gendkit.data.rules import rules_of
from gendkit.data.validation import (
    RATIO,
    Finding,
    check_names,
    check_split_key,
    finding,
    left_out,
    validate,
)
from gendkit.markup import Html, card, grid, number
from gendkit.measure.leaks import BOUND, Leak, find_leaks
from gendkit.progress import Progress, silent

IMAGES = {
    "crops": "each crop can be read",
    "content": "no two {}s have crops of the same pixels",
    "near-duplicates": "no two {}s have crops that differ in at most 3 of 64 bits of a hash",
}
LEAKS = "leaks"
FACES, KNOWN = "faces", "known"


@dataclass(frozen=True, kw_only=True)
class ManifestCheck:
    """What was found in a manifest.

    Attributes
    ----------
    about
        The manifest in one line.
    findings
        Of each check, in a fixed order.
    leaks
        How well each fact about the files tells fake from real.
    coverage
        By `dataset`, `method` and `label`: the number of `clips`, and of those with at least so
        many faces.
    """

    about: str
    findings: tuple[Finding, ...]
    leaks: tuple[Leak, ...]
    coverage: pd.DataFrame

    @property
    def errors(self) -> int:
        """How many checks found an error."""
        return sum(found.verdict == "error" for found in self.findings)

    @property
    def warnings(self) -> int:
        """How many checks found what is to be looked at."""
        return sum(found.verdict == "warning" for found in self.findings)

    @property
    def verdict(self) -> str:
        """Both numbers in words."""
        counts = ((self.errors, "error"), (self.warnings, "warning"))
        return ", ".join(f"{n} {what}{'' if n == 1 else 's'}" for n, what in counts)

    @property
    def passed(self) -> bool:
        """Whether no check found an error."""
        return not self.errors

    def record(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return {
            "manifest": self.about,
            "errors": self.errors,
            "warnings": self.warnings,
            "checks": [{**asdict(f), "examples": list(f.examples)} for f in self.findings],
            "leaks": [asdict(leak) for leak in self.leaks],
            "coverage": self.coverage.to_dict(orient="records"),
        }

    def __repr__(self) -> str:
        return f"ManifestCheck({self.verdict})"

    def _repr_html_(self) -> str:
        checks = [
            (f.check, f.text, f.verdict, f.count, ", ".join(f.examples)) for f in self.findings
        ]
        facts = [
            (leak.fact, number(leak.auroc), f"{number(leak.low)} to {number(leak.high)}"
             if leak.auroc is not None else None, leak.real, leak.fake, f"{leak.people:.0f}",
             "leaks" if leak.flagged else None, leak.tells)
            for leak in self.leaks if leak.recorded
        ]  # fmt: skip
        unknown = ", ".join(leak.fact for leak in self.leaks if not leak.recorded)
        there = [str(name) for name in self.coverage.columns]
        return card(
            self.verdict,
            {"in": self.about, "not recorded of the files": unknown or None},
            _titled("Checks", grid(("check", "rule", "verdict", "count", "examples"), checks)),
            _titled(
                "What the files tell of the label",
                grid(("fact", "AUROC", "95 %", "real", "fake", "people", "", "difference"), facts),
            ),
            _titled(
                "Clips with at least so many faces",
                grid(there, self.coverage.itertuples(index=False, name=None)),
            ),
        )


def check_manifest(
    manifest: Manifest,
    *,
    allow: Collection[str] = (),
    images: bool = True,
    split_key: str = "split",
    ratio: float = RATIO,
    bound: float = BOUND,
    least: Sequence[int] = LEAST,
    progress: Progress = silent,
) -> ManifestCheck:
    """Check a manifest: its rules, what its splits share, and what its files tell of the label.

    Parameters
    ----------
    manifest
        It is not changed.
    allow
        Names of checks that may find something, such as `components` of a data set whose owners
        split it so; what they find is counted and told all the same.
    images
        Also read the crops: for damaged ones, and for equal or nearly equal ones across splits.
    split_key
        The column whose groups are to have nothing in common: `split`, or such as `dataset`.
    ratio
        Of frames with a face, how many of one class to one of the other are no warning.
    bound
        Of the lower end of an AUROC's interval, above which a fact about the files is a warning.
    least
        Numbers of faces, for the coverage.
    progress
        Told after each crop that was read.

    Raises
    ------
    InvalidArgument
        For a name of no check, or a column that cannot be split by.
    """
    check_split_key(split_key)
    own = [rule.check for rule in rules_of(manifest, split_key=split_key, ratio=ratio)]
    check_names(allow, [*own, FACES, KNOWN, *IMAGES, LEAKS])
    allowed = [name for name in allow if name in own]
    findings = list(validate(manifest, allow=allowed, split_key=split_key, ratio=ratio))
    if findings[0].verdict == "error":  # of other types, nothing else can be said
        none = pd.DataFrame(columns=[*ABOUT, "clips"])
        return ManifestCheck(
            about=f"{len(manifest):,} rows", findings=tuple(findings), leaks=(), coverage=none
        )
    findings += _any(manifest, allow=allow)
    findings += _images(manifest, split_key, read=images, allow=allow, progress=progress)
    told = find_leaks(manifest, bound=bound)
    flagged = [f"{leak.fact} ({leak.tells})" for leak in told if leak.flagged]
    text = f"no fact about the files tells fake from real with an AUROC surely above {bound:g}"
    if all(leak.auroc is None for leak in told):
        findings.append(left_out(LEAKS, text))
    else:
        findings.append(finding(LEAKS, text, flagged, severe=False, allow=allow))
    return ManifestCheck(
        about=repr(manifest), findings=tuple(findings), leaks=told,
        coverage=coverage(manifest.table, least=least),
    )  # fmt: skip


def _any(manifest: Manifest, *, allow: Collection[str]) -> list[Finding]:
    """Look for what every use needs at least once: a crop, and for training a known label."""
    table = manifest.table
    none = () if (table["path"] != "").any() else (repr(manifest),)
    unknown = () if (table["label"] >= 0).any() else (repr(manifest),)
    return [
        finding(FACES, "there is a face crop at all", none, allow=allow),
        finding(
            KNOWN, "it is known of some clip whether it is real", unknown, severe=False, allow=allow
        ),
    ]


def _images(
    manifest: Manifest, split_key: str, *, read: bool, allow: Collection[str], progress: Progress
) -> list[Finding]:
    texts = {name: text.format(split_key) for name, text in IMAGES.items()}
    if not read:
        return [left_out(name, text) for name, text in texts.items()]
    hashes = read_hashes(manifest, range(len(manifest)), strict=False, progress=progress)
    sample = manifest.table["sample"].to_numpy()
    unread = [f"{sample[row]}: {why}" for row, why in hashes.unread.items()]
    found = [finding("crops", texts["crops"], unread, allow=allow)]
    groups = groups_of(manifest.table, split_key)
    if len(groups) < 2:
        return [*found, *(left_out(name, texts[name]) for name in ("content", "near-duplicates"))]
    same, near = _across(hashes, groups)
    for name, pairs in (("content", same), ("near-duplicates", near)):
        words = [f"{sample[a]} ~ {sample[b]}" for a, b in pairs]
        found.append(finding(name, texts[name], words, severe=name == "content", allow=allow))
    return found


def _across(
    hashes: Hashes, groups: dict[str, Rows]
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return pairs of rows in two groups, of the same content (one pair each) and nearly so."""
    same: list[tuple[int, int]] = []
    near: list[tuple[int, int]] = []
    for one, other in combinations(sorted(groups), 2):
        first = [{hashes.content[r]: r for r in reversed(groups[name].tolist())
                  if r in hashes.content} for name in (one, other)]  # fmt: skip
        same += [(first[0][key], first[1][key]) for key in first[0] if key in first[1]]
        near += hashes.near(groups[one], groups[other])
    return same, near


def _titled(title: str, body: Html) -> Html:
    from gendkit.markup import join, tag

    return join(tag("p", title, style="margin:.8em 0 0;opacity:.7"), body)

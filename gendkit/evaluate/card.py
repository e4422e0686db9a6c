"""The card of an adapter: what it was trained and chosen on, what was measured, what is not known.

An adapter and the record of its run enter, facts leave; each limit is a sentence that follows from
one of them. `Card.markdown` is for a model hub, `gendkit.pages.card` makes the page.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gendkit.data.coverage import coverage_words
from gendkit.errors import InvalidReport, UnknownPart
from gendkit.evaluate.card_results import read_result
from gendkit.evaluate.reproduce import read_record
from gendkit.markup import DASH, number, visible
from gendkit.markup import card as shown
from gendkit.model import hub
from gendkit.model.adapter import Adapter
from gendkit.model.hub import Measured, Sections, markdown_table
from gendkit.plugin.manager import plugins
from gendkit.train.engine import RUN

DRAWN = "synthetic"
"""The built-in dataset whose faces are drawn."""
NOT_RECORDED = "not recorded"
Facts = Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Card:
    """What is known of an adapter.

    Attributes
    ----------
    name
        What it is called.
    adapter
        What it is about.
    training, selection, licences
        Facts by their names, for people; empty where there is no record.
    results
        What was measured.
    limits
        What does not follow, in sentences.
    """

    name: str
    adapter: Adapter
    training: Facts
    selection: Facts
    licences: Facts
    results: tuple[Measured, ...]
    limits: tuple[str, ...]

    def __repr__(self) -> str:
        counts = f"{len(self.results)} results, {len(self.limits)} limits"
        return visible(f"Card({self.name}, adapter {self.adapter.hash[:12]}: {counts})")

    def _repr_html_(self) -> str:
        facts = {**self.training, **{f"limit {n}": text for n, text in enumerate(self.limits, 1)}}
        return shown(f"Card of {self.name}", {**self.adapter.header.facts, **facts})

    @property
    def sections(self) -> Sections:
        """Title and Markdown of what a card has beside the adapter's header and the results."""
        return [
            *(
                (title, markdown_table(("", ""), [(k, _plain(v)) for k, v in facts.items()]))
                for title, facts in (
                    ("Training data", self.training),
                    ("Selection", self.selection),
                    ("Licences", self.licences),
                )
                if facts
            ),
            ("Known limits", "".join(f"- {_plain(text)}\n" for text in self.limits)),
        ]

    def markdown(self, *, licence: str = "other") -> str:
        """Return it as a model hub wants it.

        Parameters
        ----------
        licence
            Of the adapter, as the hub names it.
        """
        return hub.card(
            self.adapter, name=self.name, licence=licence, results=self.results,
            sections=self.sections,
        )  # fmt: skip

    def record(self) -> dict[str, Any]:
        """Return it as plain values for a JSON file."""
        return {
            "name": self.name,
            "adapter": self.adapter.hash,
            "facts": dict(self.adapter.header.facts),
            "training": dict(self.training),
            "selection": dict(self.selection),
            "licences": dict(self.licences),
            "results": [vars(result) for result in self.results],
            "limits": list(self.limits),
        }


def model_card(
    adapter: Adapter | str | Path,
    *,
    record: Mapping[str, Any] | None = None,
    results: Sequence[Measured | str | Path] = (),
    name: str | None = None,
) -> Card:
    """Gather what is known of an adapter for people who may use it.

    Parameters
    ----------
    adapter
        Or its file, or the folder of its run, whose record is read too.
    record
        That of its run, if it does not lie beside it.
    results
        What was measured: numbers, folders of `gendkit evaluate` and `gendkit study robustness`, or
        a file of `gendkit calibrate`.
    name
        What it is called; by default as its folder, or its recipe.

    Raises
    ------
    MissingMedia, InvalidAdapter, InvalidReport, UnreadableMedia
        If something is not there, damaged, or the record is that of another adapter.
    InvalidArgument
        If a result is of another adapter.
    """
    named = ""
    if not isinstance(adapter, Adapter):
        path = Path(adapter)
        folder = path if path.is_dir() else path.parent
        adapter, named = Adapter.read(path), folder.resolve().name
        if record is None and (folder / RUN).is_file():
            record = read_record(folder)
    if record is not None and record["adapter"] != adapter.hash:
        raise InvalidReport(
            f"the record is of adapter {str(record['adapter'])[:12]}, not of {adapter.hash[:12]}; "
            "give that of the run that made it."
        )
    measured: list[Measured] = []
    told: list[str] = []
    calibrated = False
    for result in results:
        if isinstance(result, Measured):
            measured.append(result)
            continue
        found = read_result(result, adapter=adapter.hash)
        measured += found.measured
        told += found.limits
        calibrated |= found.calibrated
    data = {} if record is None else record["data"]
    train, validation = data.get("train", {}), data.get("validation", {})
    licences = _licences(adapter, train, validation)
    return Card(
        name=name or named or str(adapter.header.recipe.get("name") or "adapter"),
        adapter=adapter,
        training=_training(record, train),
        selection=_selection(record, validation),
        licences=licences,
        results=tuple(measured),
        limits=(
            *_limits(adapter, record, train, validation, calibrated=calibrated),
            *_of_results(measured),
            *told,
        ),
    )  # fmt: skip


def _training(record: Mapping[str, Any] | None, train: Mapping[str, Any]) -> Facts:
    if record is None:
        return {}
    facts = _set(train)
    pairs, crops = (record.get("batches", {}).get(key) for key in ("pairs", "crops"))
    if pairs is not None:
        facts["pairs"] = f"{pairs:g} fakes with their real in a batch of {crops} crops, on average"
    device = record.get("device", NOT_RECORDED)
    facts["made on"] = f"{device}, {_counted(record.get('ranks', 1), 'process', 'processes')}"
    facts["versions"] = ", ".join(f"{k} {v}" for k, v in record.get("versions", {}).items())
    return facts


def _selection(record: Mapping[str, Any] | None, validation: Mapping[str, Any]) -> Facts:
    if record is None:
        return {}
    by, epoch, history = record["chosen_by"], record["chosen_epoch"], record["history"]
    facts = {
        "chosen by": f"{by['metric']} on {by['data']}",
        "epoch kept": f"{epoch}, of 0 to {len(history) - 1}",
    }
    row = history[epoch] if 0 <= epoch < len(history) else {}
    values = {k.removeprefix("validation_"): v for k, v in row.items() if "validation_" in k}
    facts["of that epoch"] = ", ".join(f"{k} {v:.3f}" for k, v in values.items() if v is not None)
    return {**facts, **_set(validation)}


def _set(data: Mapping[str, Any]) -> dict[str, str]:
    """Return what a record says of a manifest, in words."""
    if not data:
        return {"data": NOT_RECORDED}
    return {
        "data sets": "; ".join(map(_about, data["datasets"])) or NOT_RECORDED,
        "crops": f"{data['real']:,} real and {data['fake']:,} fake, of {data['videos']:,} clips",
        "people": f"{data['identities']:,}" if data["identities"] else NOT_RECORDED,
        "manipulations": ", ".join(data["families"]) or NOT_RECORDED,
        "coverage": coverage_words(data["coverage"]) if data.get("coverage") else NOT_RECORDED,
        "digest": str(data["digest"])[:12],
    }


def _counted(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _about(dataset: str) -> str:
    """Return a data set's name with its summary, if an installed plugin declares it."""
    try:
        return f"{dataset} ({plugins().spec('dataset', dataset).summary})"
    except UnknownPart:
        return dataset


def _licences(
    adapter: Adapter, train: Mapping[str, Any], validation: Mapping[str, Any]
) -> dict[str, str]:
    name = adapter.header.backbone
    try:
        backbone = str(plugins().spec("backbone", name).licence)
    except UnknownPart:
        backbone = f"{NOT_RECORDED}: no installed plugin gives it"
    licences = {f"backbone {name}": backbone}
    for words, data in (("training media", train), ("selection media", validation)):
        counts = data.get("licences")
        if counts:
            each = (f"{k or NOT_RECORDED} ({n:,} crops)" for k, n in counts.items())
            licences[words] = ", ".join(each)
        elif data:
            licences[words] = NOT_RECORDED
    return licences


def _limits(
    adapter: Adapter,
    record: Mapping[str, Any] | None,
    train: Mapping[str, Any],
    validation: Mapping[str, Any],
    *,
    calibrated: bool,
) -> list[str]:
    """Say what does not follow from the header and the record."""
    limits = []
    if record is None:
        limits.append(
            "There is no record of its run: what it was trained and chosen on is not known."
        )
    if not adapter.header.extraction:
        limits.append(
            "How the crops of its training were made is not recorded; crops made otherwise may "
            "score otherwise."
        )
    share = train["fake"] / train["crops"] if train.get("crops") else math.nan
    prior = f" ({100 * share:.0f} % of its crops are fake)" if math.isfinite(share) else ""
    also = "" if calibrated else ", and no calibration was given that says what it is worth"
    limits.append(f"A score is no probability: the training's prior is in it{prior}{also}.")
    if train:
        limits += _of_training(train)
    if record is not None and record["chosen_by"]["metric"] != "last":
        if train and validation:
            limits += _of_choice(train, validation)
        if (epochs := len(record["history"])) > 1:
            limits.append(
                f"The metrics of the epoch that was kept are of the best of {epochs}, on the data "
                "of that choice: no test."
            )
    return limits


def _of_training(train: Mapping[str, Any]) -> list[str]:
    families, people = train["families"], train["identities"]
    seen = [f"{people:,} people"] if people else []
    if families:
        one = "one kind" if len(families) == 1 else f"{len(families)} kinds"
        seen.append(f"{one} of manipulation ({', '.join(families)})")
    limits = []
    if seen:
        limits.append(
            f"It was trained on {' and '.join(seen)}; of others only what stands under the results "
            "is known."
        )
    if DRAWN in train["datasets"]:
        all_of = "All of its" if train["datasets"] == [DRAWN] else "A part of its"
        limits.append(f"{all_of} training faces are drawn; of photos nothing follows from these.")
    counts = train.get("coverage") or {}
    if (lost := counts.get("clips", 0) - counts.get(">= 1", 0)) > 0:
        limits.append(
            f"{lost:,} of {counts['clips']:,} training clips have no face crop and took no part."
        )
    if unknown := train.get("licences", {"": train["crops"]}).get("", 0):
        limits.append(f"The licence of {unknown:,} of its training crops is not recorded.")
    return limits


def _of_choice(train: Mapping[str, Any], validation: Mapping[str, Any]) -> list[str]:
    chosen, trained = set(validation["families"]), set(train["families"])
    if not chosen:
        return []
    new, known = sorted(chosen - trained), sorted(chosen & trained)
    if not new:
        return [
            "Its epoch was chosen on kinds of manipulation that it was trained on "
            f"({', '.join(known)}): the choice says nothing of others."
        ]
    return [
        f"{', '.join(new)} took part in the choice of its epoch: numbers on them are not those of "
        "a test that nobody looked at."
    ]


def _of_results(results: Sequence[Measured]) -> list[str]:
    if not results:
        return ["No result was given for this card: how well it does elsewhere is not known."]
    bare = list(dict.fromkeys(r.data for r in results if r.low is None or r.high is None))
    if not bare:
        return []
    return [f"Without an interval are results on {'; '.join(bare)}."]


def result_words(result: Measured) -> tuple[str, str]:
    """Return a result's value and interval for people."""
    known = result.low is not None and result.high is not None
    ends = f"{number(result.low)} to {number(result.high)}" if known else DASH
    return number(result.value), ends


def _plain(text: str) -> str:
    """Return text in which Markdown and HTML mean nothing, as names may hold anything."""
    return "".join(f"\\{c}" if c in "\\`*_[]<>" else c for c in visible(text))

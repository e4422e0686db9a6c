"""The demo's report: a `DemoResult` enters, one HTML document and one JSON value leave.

Every number and every sentence on the page is made from the result; a finding that the intervals do
not support is not stated.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gendkit.markup import DASH, Html, Node, join, number, tag
from gendkit.pages import faces, figures, findings, maps
from gendkit.pages.page import (
    bullets,
    chart,
    estimate,
    facts,
    figure,
    interval,
    note,
    page,
    panels,
    prose,
    section,
    table,
    tile,
    tiles,
)
from gendkit.pages.record import plain, records

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from gendkit.evaluate.demo.result import DemoResult, Neighbour, Neighbourhood, ScoredClip

PAGE, NUMBERS = "report.html", "report.json"

_CONTENTS = (
    ("families", "By forgery family"),
    ("roc", "ROC"),
    ("clip", "A clip and its twin"),
    ("map", "The map"),
    ("neighbours", "Neighbours"),
    ("layers", "What moved in training"),
    ("made", "How this was made"),
    ("caveats", "What it does not show"),
)


def render_demo(result: DemoResult) -> str:
    """Return the report as one self-contained HTML document.

    It needs no network, follows the reader's light or dark scheme and can be printed. Whatever
    could not be computed (NaN) is shown as a dash.
    """
    names = dict(_CONTENTS)
    sections = {
        "families": _families(result),
        "roc": _roc(result.roc),
        "clip": _clips(result.clip, result.twin),
        "map": _map(result.sphere),
        "neighbours": _neighbours(result.neighbourhood),
        "layers": _changes(result),
        "made": _made(result),
        "caveats": _caveats(),
    }
    return page(
        "gendkit demo",
        *(section(anchor, names[anchor], content) for anchor, content in sections.items()),
        lead=_lead(result),
        contents=_CONTENTS,
        foot="Made by gendkit demo. The numbers behind this page are in the JSON file beside it.",
    )


def write_demo(result: DemoResult, folder: str | Path) -> dict[str, Any]:
    """Write `report.html` and `report.json` into a folder; return what the latter holds.

    For the values see `demo_json`.
    """
    record = demo_json(result)
    text = json.dumps(record, allow_nan=False, indent=1)
    (Path(folder) / NUMBERS).write_text(text, encoding="utf-8")
    (Path(folder) / PAGE).write_text(render_demo(result), encoding="utf-8")
    return record


def demo_json(result: DemoResult) -> dict[str, Any]:
    """Return the result as JSON values: tables as records, NaN as None, without images.

    The keys are those of `DemoResult`, with `headline` in addition; `sphere` holds its attributes
    and one record a sample, with the sample's place on the map, but not its embedding.
    """
    near = result.neighbourhood
    return {
        "headline": _headline(result),
        "quick": result.quick,
        "facts": plain(result.facts),
        "families": records(result.families),
        "groups": records(result.groups),
        "roc": records(result.roc),
        "curve": records(result.curve),
        "clip": _clip_record(result.clip),
        "twin": _clip_record(result.twin),
        "sphere": _sphere_record(result.sphere),
        "neighbourhood": {
            "sample": near.sample,
            "method": near.method,
            "label": near.label,
            "score": plain(near.score),
            "reals": [_neighbour_record(n) for n in near.reals],
            "fakes": [_neighbour_record(n) for n in near.fakes],
        },
        "layers": records(result.layers),
        "seconds": plain(result.seconds),
    }


def _effects(result: DemoResult) -> dict[str, findings.Effect | None]:
    return {g: findings.effect(result.families, result.groups, g) for g in figures.GROUPS}


def _headline(result: DemoResult) -> str:
    if result.quick:
        return findings.QUICK
    found = _effects(result)
    return findings.headline(found["seen"], found["unseen"])


def _lead(result: DemoResult) -> Html:
    found = _effects(result)
    said = [findings.comparison(e) for g in ("unseen", "seen") if (e := found[g]) is not None]
    shown = [
        tile(
            label,
            number(e.mean, sign=True),
            f"AUROC, tuned minus probe; 95 % interval {interval(e.low, e.high, sign=True)}",
            tone="" if result.quick else findings.tone(e),
        )
        for group, label in (("unseen", "Forgeries never seen"), ("seen", "Forgeries seen"))
        if (e := found[group]) is not None
    ]
    if (control := found["control"]) is not None:
        ends = interval(control.tuned_low, control.tuned_high)
        detail = f"mean AUROC, tuned; 95 % interval {ends}; 0.5 is best"
        shown.append(tile("Changes that are no forgery", number(control.tuned), detail))
    return join(
        tag("p", "gendkit demo", class_="eyebrow"),
        tag("h1", _headline(result)),
        None if result.quick else tag("p", " ".join(said), class_="lede"),
        tiles(*shown),
    )


def _families(result: DemoResult) -> Html:
    head = ("", "frozen probe", "tuned", "tuned − probe", "real", "fake", "people")
    bodies = []
    for group, title in figures.GROUPS.items():
        members = result.families[result.families["group"] == group]
        rows = [_family_row(row["family"], row) for _, row in members.iterrows()]
        mean = result.groups[result.groups["group"] == group]
        rows += [_family_row(tag("strong", "mean"), row) for _, row in mean.iterrows()]
        if rows:
            bodies.append((title, rows))
    drawing = chart(
        figures.auroc(result.families, result.groups, width=760),
        narrow=figures.auroc(result.families, result.groups, width=390),
        alt="AUROC of the frozen linear probe and the tuned detector for each forgery family and "
        "control, with intervals; the table below has the same numbers.",
    )
    return join(
        prose(
            "Some families of forgeries were trained on, others were kept away from training. Both "
            "detectors use the same encoder; the probe learns only a linear head, the tuned "
            "detector also the layer norms. 0.5 is chance, 1 is perfect."
        ),
        figure(
            drawing,
            caption="A dot is the AUROC of face crops, a line its 95 % bootstrap interval over "
            "people, each with those who lend a face. Negative controls compare plain real faces "
            "with changed real faces: there 0.5 is best.",
        ),
        prose(findings.controls(result.families)),
        table(
            head,
            bodies,
            caption="AUROC with 95 % intervals. For controls, “fake” counts changed real crops.",
        ),
    )


def _family_row(name: Node, row: pd.Series[Any]) -> list[Node]:
    counts: list[Node] = [_count(row[c]) for c in ("real", "fake", "identities")]
    numbers: list[Node] = [
        estimate(*(float(row[f"{c}{e}"]) for e in ("", "_low", "_high")), sign=c == "difference")
        for c in ("probe", "tuned", "difference")
    ]
    return [name, *numbers, *counts]


def _roc(roc: pd.DataFrame) -> Html:
    there = [g for g in figures.GROUPS if g in set(roc["group"])]
    cards = [
        chart(
            figures.roc(roc, group=g),
            title=figures.GROUPS[g],
            alt=f"ROC curves of probe and tuned detector, group: {figures.GROUPS[g].lower()}.",
        )
        for g in there
    ]
    return figure(
        panels(*cards) if cards else prose("There was no curve to draw."),
        caption="Crops of a group’s families pooled, so the areas can differ a little from the "
        "means above. The diagonal is chance.",
    )


def _clips(clip: ScoredClip, twin: ScoredClip) -> Html:
    drawing = chart(
        figures.timeline(clip, twin, width=760),
        narrow=figures.timeline(clip, twin, width=390),
        alt=f"Score over time of {clip.name} (mean {number(clip.clip_score, digits=2)}) and of "
        f"{twin.name} (mean {number(twin.clip_score, digits=2)}).",
    )
    return join(
        prose(findings.twins(clip, twin)),
        figure(
            drawing,
            caption="Score of each frame; dotted: the clip’s mean. Crosses under the axis are "
            "frames in which no face was found.",
        ),
        figure(
            faces.film(clip, kind="real"),
            faces.film(twin, kind="fake"),
            caption="Face crops as the detector sees them, evenly spread over time, with the score "
            "of the frame above its time.",
        ),
    )


def _map(ds: xr.Dataset) -> Html:
    cards = []
    for colour, title in (("label", "By class"), ("family", "By forgery family")):
        entries = [
            tag("li", Html(text=figures.marker(look)), look.name)
            for look in maps.colouring(ds, colour).looks
        ]
        drawing = chart(
            figures.sphere(ds, colour=colour),
            title=title,
            alt=f"Map of {ds.sizes['sample']} face embeddings, {title.lower()}.",
        )
        legend = tag("ul", *entries, class_="legend")
        cards.append(Html(text=drawing.text.removesuffix("</div>") + f"{legend}</div>"))
    return join(
        prose(
            "Each point is a face crop, placed so that faces which are close on the hypersphere "
            "are mostly close here."
        ),
        figure(
            panels(*cards),
            caption=f"{ds.sizes['sample']:,} crops{_splits(ds)}.",
        ),
        note(
            "A map is for finding faces to look at, never evidence: it must tear and stretch, and "
            "islands and gaps can appear where the sphere has none. The numbers above are computed "
            "on the sphere."
        ),
    )


def _splits(ds: xr.Dataset) -> str:
    names = sorted(set(ds["split"].to_numpy()) - {""}) if "split" in ds else []
    kind = "split" if len(names) == 1 else "splits"
    return f" of the {kind} {' and '.join(names)}" if names else ""


def _neighbours(near: Neighbourhood) -> Html:
    return join(
        prose(findings.surroundings(near)),
        figure(
            faces.neighbours(near),
            caption="Below each face: its cosine similarity to the face in question (1 is the same "
            "direction on the sphere), and what it is.",
        ),
    )


def _changes(result: DemoResult) -> Html:
    moved = [
        chart(
            figures.layers(result.layers, part="weight"),
            title="Weights",
            alt="Relative change of the layer norms’ weights by depth.",
        ),
        chart(
            figures.layers(result.layers, part="bias"),
            title="Biases",
            alt="Relative change of the layer norms’ biases by depth.",
        ),
    ]
    columns = {c: str(c).replace("_", " ") for c in _informative(result.curve)}
    training = [
        chart(
            figures.curve(result.curve, column=c, width=230),
            title=name,
            alt=f"Training: {name} by epoch.",
        )
        for c, name in columns.items()
    ]
    return join(
        prose(findings.movement(result.layers)),
        figure(
            panels(*moved),
            caption="L2 norm of each layer norm’s change over the L2 norm of what it was. The two "
            "scales differ.",
        ),
        figure(
            panels(*training, least=13),
            caption="Loss, its terms and the validation metrics by epoch, each on its own scale.",
        )
        if columns and len(result.curve)
        else None,
    )


def _informative(curve: pd.DataFrame) -> list[str]:
    """Return the columns that say something about learning, a single term of the loss not twice."""
    columns = [c for c in curve.columns if c not in ("epoch", "learning_rate", "pairs", "seconds")]
    return [c for c in columns if c == "loss" or "loss" not in columns or _differ(curve, c)]


def _differ(curve: pd.DataFrame, column: str) -> bool:
    return not np.allclose(curve[column], curve["loss"], rtol=1e-6, equal_nan=True)


def _made(result: DemoResult) -> Html:
    total = sum(s for s in result.seconds.values() if math.isfinite(s))
    longest = max((s for s in result.seconds.values() if math.isfinite(s)), default=0.0) or 1.0
    rows: list[list[Node]] = [
        [
            stage,
            number(seconds, digits=1),
            tag("span", class_="bar", style=f"--share: {seconds / longest:.3f}")
            if math.isfinite(seconds)
            else None,
        ]
        for stage, seconds in result.seconds.items()
    ]
    rows.append([tag("strong", "all stages"), number(total, digits=1), None])
    return join(
        facts((str(key).replace("_", " "), _value(value)) for key, value in result.facts.items()),
        table(("stage", "seconds", ""), [(None, rows)], caption="Wall time by stage")
        if result.seconds
        else None,
    )


def _caveats() -> Html:
    return bullets(
        [
            "The score is not a probability. It ranks faces; the share of fakes in the training "
            "data is in it, and it is not calibrated for any other share.",
            "The forgeries are synthetic: made on the spot by small generators that imitate the "
            "steps of real pipelines. They are not deepfakes from the wild, and these numbers do "
            "not carry over to those.",
            "The data are few. The intervals show how much the identities at hand let the numbers "
            "vary, not how other data, another seed or another encoder would change them.",
            "On negative controls AUROC 0.5 is best: a detector that tells compressed, blurred or "
            "resized real faces from plain ones has learnt something other than forgery.",
            "A frame without a face is not examined, and nothing outside the face crop is.",
        ]
    )


def _value(value: Any) -> Node:
    if isinstance(value, Mapping):
        return " · ".join(f"{k} {_word(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_word(v) for v in value)
    text = _word(value)
    digest = len(text) >= 32 and all(c in "0123456789abcdef" for c in text)
    return tag("code", text) if digest else text


def _word(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return str(value) if abs(int(value)) < 10_000 else f"{value:,}"
    if isinstance(value, float | np.floating):
        return f"{value:.4g}".replace("-", "−") if math.isfinite(value) else DASH
    return DASH if value is None else str(value)


def _count(value: Any) -> str:
    return f"{int(value):,}" if math.isfinite(value) else DASH


def _clip_record(clip: ScoredClip) -> dict[str, Any]:
    return {
        "name": clip.name,
        "time": plain(clip.time),
        "score": plain(clip.score),
        "clip_score": plain(clip.clip_score),
    }


def _neighbour_record(near: Neighbour) -> dict[str, Any]:
    return {"sample": near.sample, "method": near.method, "similarity": plain(near.similarity)}


def _sphere_record(ds: xr.Dataset) -> dict[str, Any]:
    columns = {name: plain(ds[name].to_numpy()) for name in maps.variables(ds)}
    columns["projection"] = plain(ds["projection"].transpose("sample", "axis").to_numpy())
    rows = zip(*columns.values(), strict=True)
    return {
        "attributes": plain(ds.attrs),
        "samples": [dict(zip(columns, row, strict=True)) for row in rows],
    }

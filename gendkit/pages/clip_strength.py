"""What a score is worth as evidence, in a clip report: a calibration enters, a section leaves.

The page gives no verdict, so that the calibration's decision is not in it; its likelihood ratio is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from gendkit.data.examine import Crop
from gendkit.data.extractors import looks_for_faces
from gendkit.data.quality import quality_of, typical
from gendkit.evaluate.calibration import Calibration, Person
from gendkit.evaluate.clips import unit
from gendkit.markup import DASH, Html, join, number, tag
from gendkit.measure.likelihood import SCALE_SOURCE
from gendkit.model.detector import Detector
from gendkit.pages.page import bullets, interval, note, prose, table

if TYPE_CHECKING:
    import xarray as xr

Record = Mapping[str, Any]
SAID = ("log10_lr", "at_bound", "support", "reasons", "novelty_p")
MEANING = (
    "A likelihood ratio says how much likelier this score is if the face is forged than if it is "
    "not, among clips like those named here. It is no probability of a forgery: whoever judges "
    "multiplies by it the odds that they had before, from all else that they know."
)


def strengths(
    calibration: Calibration, detector: Detector, faces: Sequence[Crop], ds: xr.Dataset
) -> dict[int, dict[str, Any]]:
    """Return what the score of each track is worth, as JSON values.

    Parameters
    ----------
    faces
        The crops that have an image.
    ds
        Their `embedding`, `score` and `track`, in the same order.
    """
    track = ds["track"].to_numpy()
    score, vectors = (ds[name].to_numpy().astype(np.float64) for name in ("score", "embedding"))
    people = []
    for one in np.unique(track).tolist():
        rows = np.flatnonzero(track == one)
        own = [faces[row] for row in rows.tolist()]
        each = [quality_of(c.image, c.landmarks) for c in own if c.image is not None]
        people.append(
            Person(
                track=one,
                score=float(score[rows].mean()),
                crops=len(rows),
                quality=typical(each),
                vector=unit(vectors[rows].sum(axis=0, keepdims=True))[0],
            )
        )
    extractor = detector.extractor()
    found = calibration.weigh(
        people,
        dtype=detector.dtype,
        extraction={
            "extractor": detector.extractor_name,
            "threshold": getattr(extractor, "threshold", None),
            "scale": detector.scale if looks_for_faces(extractor) else None,
            "size": detector.adapter.header.extraction.get("size"),
        },
    )
    return {e.track: {name: getattr(e, name) for name in SAID} for e in found}


def calibration_facts(calibration: Calibration) -> dict[str, Any]:
    """Return what a report states of its calibration, as JSON values."""
    return {
        "sha256": calibration.digest,
        "name": calibration.population.name,
        "population": str(calibration.population),
        "population_sha256": calibration.population.digest,
        "likelihood": asdict(calibration.likelihood),
        "checks": [asdict(check) for check in calibration.checks],
        "limits": list(calibration.limits),
        "created": calibration.created,
    }


def strength(found: Record, about: Record) -> Html:
    """Return the section about one person.

    Parameters
    ----------
    found, about
        Of `strengths` and `calibration_facts`.
    """
    ratio = found["log10_lr"]
    low, high = (about["likelihood"][end] for end in ("low", "high"))
    if ratio is None:
        said = note(
            "Not validated, so that no number is given. This face or its picture is outside what "
            f"the calibration was made from: {'; '.join(found['reasons'])}."
        )
    else:
        bound = ""
        if found["at_bound"]:
            bound = " It is at the bound of what the calibration’s clips support."
        support = f"{found['support'][0].upper()}{found['support'][1:]}"
        said = prose(
            tag("strong", f"{support}. "),
            f"The likelihood ratio is {_plain(ratio)} (log10 {number(ratio, digits=2, sign=True)})."
            f"{bound} The words are those of the {SCALE_SOURCE}.",
        )
    return join(
        said,
        prose(MEANING),
        prose(
            f"The clips: {about['population']}. They support ratios from {_plain(low)} to "
            f"{_plain(high)}."
        ),
        bullets([f"{limit[0].upper()}{limit[1:]}." for limit in about["limits"]])
        if about["limits"]
        else None,
        tag(
            "details",
            tag("summary", "How good these ratios are, on these clips and on others"),
            prose(
                "Cllr is the cost of using them in bits: 0 is perfect, and 1 is saying nothing. "
                "The least is what the best rising transform of them would cost. On its own clips "
                "each was judged without the people in it; brackets are 95 % intervals over people."
            ),
            table(
                ("clips", "real", "fake", "AUROC", "Cllr", "least"),
                [(None, [_check(check) for check in about["checks"]])],
                caption="Cost of the likelihood ratios",
            ),
        ),
    )


def _check(check: Record) -> tuple[str, ...]:
    ends = check["cllr_interval"]
    cost = number(check["cllr"])
    return (
        f"{check['name']}{', left out in turn' if check['own'] else ''}",
        str(check["reals"]),
        str(check["fakes"]),
        number(check["auroc"]),
        cost if cost == DASH or ends is None else f"{cost} ({interval(*ends)})",
        number(check["cllr_min"]),
    )


def _plain(log10: float) -> str:
    """Return a ratio that people can read, such as `23` or `1/23`."""
    ratio = float(f"{10 ** abs(log10):.2g}")
    text = f"{ratio:,.0f}" if ratio >= 10 else f"{ratio:g}"
    return text if log10 >= 0 or text == "1" else f"1/{text}"

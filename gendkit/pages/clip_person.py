"""One person's part of a clip report: a track of the record enters, markup leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gendkit.manifold.novelty import UNLIKE
from gendkit.markup import DASH, Html, join, number, tag
from gendkit.pages import clip_figures
from gendkit.pages.clip_strength import strength
from gendkit.pages.page import bullets, chart, interval, note, picture, prose, table
from gendkit.pages.words import p_value, percent, when

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gendkit.pages.clip import Pictures

Record = Mapping[str, Any]
FILM = 16
KINDS = ("real", "fake")


def person(record: Record, track: Record, pictures: Pictures) -> Html:
    """Return what is said of one person of the file."""
    mine = track["track"]
    wide = clip_figures.scores(record["frames"], mine)
    narrow = clip_figures.scores(record["frames"], mine, width=360)
    words = f"Scores of person {mine + 1} over time, mean {number(track['score'])}."
    several = sum(f["track"] == mine for f in record["frames"]) > 1
    return join(
        _film(record, mine, pictures),
        chart(wide, narrow=narrow, alt=words) if several else None,
        tag("h3", "Where the score stands"),
        prose(_standing(track["standing"])),
        join(tag("h3", "Strength of evidence"), strength(track["strength"], record["calibration"]))
        if "strength" in track
        else None,
        tag("h3", "Is the reference like this face?"),
        _novelty(track["novelty"], len(record["tracks"])),
        tag("h3", "Nearest people"),
        _nearest(record, track, pictures),
        tag("h3", "Votes of the nearest people"),
        _votes(track["votes"]),
        join(tag("h3", "Likely method, if it were a fake"), prose(_method(track["method"])))
        if "method" in track
        else None,
        tag("h3", "How much the score depends on what should not matter"),
        _sensitivity(track["sensitivity"]),
    )


def _film(record: Record, track: int, pictures: Pictures) -> Html:
    frames = [f for f in record["frames"] if f["track"] == track and f["score"] is not None]
    chosen = np.unique(np.linspace(0, len(frames) - 1, min(FILM, len(frames))).round().astype(int))
    items = []
    for i in chosen.tolist():
        frame = frames[i]
        score, at = number(frame["score"], digits=2), when(frame)
        name = f"frame/{frame['frame']}/{track}"
        items.append(
            tag(
                "li",
                _face(pictures, name, f"face at {at}, score {score}"),
                tag("span", score, class_="score"),
                tag("span", at, class_="detail"),
            )
        )
    return tag("ul", *items, class_="film")


def _standing(standing: Record) -> str:
    if not standing:
        return "The reference has no scores."
    words = [
        f"{number(standing[f'percentile_of_{kind}s'], digits=0)} % of the reference's "
        f"{standing[f'{kind}_clips']:,} {kind} clips score lower"
        for kind in KINDS
        if f"percentile_of_{kind}s" in standing
    ]
    splits = ", ".join(standing["splits"])
    caution = (
        "; clips that were trained on score more clearly than new ones, so these shares are "
        "optimistic"
        if "train" in standing["splits"]
        else ""
    )
    return f"{', and '.join(words)} (split: {splits or 'not stated'}{caution})."


def _novelty(found: Record, people: int) -> Html:
    p, least = found["p"], found["least_p"]
    corrected = f", corrected for {people} people (Holm)" if people > 1 else ""
    if p is None:
        return prose("Nobody in the reference is left to compare with.")
    words = (
        f"The median angle to the {found['k']}th nearest person is {number(found['angle'])} rad. "
        f"Conformal p-value {p_value(p)}{corrected}, from {found['calibration']} clips of the "
        "reference that were set aside."
    )
    if found["novel"]:
        return join(
            prose(words),
            note(
                f"{UNLIKE[0].upper()}{UNLIKE[1:]}. A novel recording is novel, and not for that "
                "reason forged."
            ),
        )
    least *= people
    if least > found["alpha"]:
        words += (
            f" So few clips cannot give a p-value below {number(least)}: nothing can be called "
            "unlike the reference."
        )
    else:
        words += " Not unlike the reference, as far as this can tell."
    return prose(words)


def _nearest(record: Record, track: Record, pictures: Pictures) -> Html:
    asked = track["nearest_frame"]
    face = _face(
        pictures, f"frame/{asked}/{track['track']}", f"the face of frame {asked}", size=208
    )
    query = tag(
        "div", face, tag("span", f"frame {asked}", class_="score"),
        tag("span", "nearest to the mean direction of this person's frames", class_="detail"),
        class_="face",
    )  # fmt: skip
    showable = set(record["settings"]["showable"])
    rows = join(*(_row(kind, track["nearest"][kind], pictures, showable) for kind in KINDS))
    clips = record["reference"]["clips_asked"]
    hidden = any(n["licence"] not in showable for kind in KINDS for n in track["nearest"][kind])
    lines = [
        (
            tag("code", near["sample"]),
            (
                kind, number(near["similarity"], digits=4),
                percent(near["percentile_of_reals"]), percent(near["percentile_of_fakes"]),
                f"{near['hub_count']} ({number(near['hub_count_expected'], digits=1)})",
                near["dataset"] or DASH, near["method"] or DASH, near["degradation"] or DASH,
                near["split"] or DASH, near["licence"] or DASH,
            ),
        )
        for kind in KINDS
        for near in track["nearest"][kind]
    ]  # fmt: skip
    head = (
        "sample", "class", "cosine", "% of reals less similar", "% of fakes less similar",
        "hub count (expected)", "data set", "method", "processing", "split", "licence",
    )  # fmt: skip
    equal = track["equal"]
    return join(
        tag("div", query, tag("div", rows), class_="near"),
        tag(
            "p",
            "Blurred faces are of a licence that does not allow to show them, or of none that is "
            "known.",
            class_="aside",
        )
        if hidden
        else None,
        note(
            "A crop of the reference is all but equal to one of this clip: "
            f"{', '.join(one['sample'] for one in equal)}. If it is the same recording, what is "
            "near says nothing."
        )
        if equal
        else None,
        tag(
            "details",
            tag("summary", "Similarities, what is usual, and provenance"),
            prose(
                f"Each person once, by the nearest crop. The percentages are among {clips:,} clips "
                "of the reference that were asked in the same way, with themselves, their target "
                "clip and their people left out. The hub count says for how many of them the crop "
                "was listed, too: a hub is near to many and says little."
            ),
            table(head, [(None, [(first, *cells) for first, cells in lines])], caption="Nearest"),
        ),
    )


def _row(kind: str, near: Sequence[Record], pictures: Pictures, showable: set[str]) -> Html:
    items = [
        tag(
            "li",
            _face(
                pictures, f"reference/{n['sample']}",
                f"{n['method'] or kind} of {n['dataset']}, similarity {number(n['similarity'])}",
            ),
            tag("span", number(n["similarity"]), class_="score"),
            tag("span", n["method"] or kind, class_="detail"),
            tag("span", f"{percent(n[f'percentile_of_{kind}s'])} of {kind}s are less similar",
                class_="detail"),
            None
            if n["licence"] in showable
            else tag("span", "blurred", class_="detail"),
            class_=f"is-{kind}",
        )
        for n in near
    ]  # fmt: skip
    return join(
        tag("p", "Nearest reals" if kind == "real" else "Nearest fakes", class_="row-title"),
        tag("ul", *items, class_="film") if items else prose("There are none."),
    )


def _votes(votes: Sequence[Record]) -> Html:
    lines = [
        (
            f"{v['k']} nearest", f"{v['real']}", f"{v['fake']}",
            "∞" if v["ratio"] is None and v["fake"] else number(v["ratio"], digits=2),
            p_value(v["p"]),
        )
        for v in votes
    ]  # fmt: skip
    return join(
        prose(
            "One vote a person and class. The ratio is the share of all fakes that voted over the "
            "share of all reals that did: 1 is no difference. The p-value is two-sided, under "
            "permuted labels, of each line alone; it says nothing of why."
        ),
        table(
            ("people that vote", "real", "fake", "ratio of shares", "p"), [(None, lines)],
            caption="Votes, by how many people are asked",
        ),
    )  # fmt: skip


def _method(method: Record) -> str:
    near = f"The nearest data set is {method['nearest_dataset'] or 'none'}."
    if not method["accuracy_clips"]:
        return (
            f"{near} No method is named: no method of the reference is shown by two of its data "
            "sets, so that it cannot be measured how often a name would be right."
        )
    right, refused, chance = (
        percent(100 * method[name]) for name in ("accuracy", "refused", "chance")
    )
    never = method["never_refused"]
    few = f" Too few people show {never} for anything to be called unlike it." if never else ""
    return (
        f"{method['likely'] or 'None'}. {near} Method, data set and codec are confounded; on fakes "
        f"of a data set that was left out, the name was right for {right} "
        f"of {method['accuracy_clips']:,} clips of {method['accuracy_datasets']} data sets "
        f"({chance} by always naming the most frequent one), and {refused} were called none of "
        f"those known.{few}"
    )


def _sensitivity(rows: Sequence[Record]) -> Html:
    base = next(row["score"] for row in rows if row["change"] == "none")
    kinds = list(dict.fromkeys(r["change"] for r in rows if r["change"] != "none"))
    lines, gone = [], []
    for kind in kinds:
        own = [r for r in rows if r["change"] == kind]
        values = [r["score"] for r in own if r["score"] is not None]
        gone += [f"{kind}, {r['setting']}: {r['reason']}" for r in own if r["score"] is None]
        if values:
            most = max(values, key=lambda v: abs(v - base))
            lines.append(
                (kind, str(len(values)), interval(min(values), max(values), digits=2),
                 number(most - base, digits=2, sign=True))
            )  # fmt: skip
    detail = [
        (f"{r['change']}: {r['setting']}", str(r["faces"]), number(r["score"]),
         number(r["difference"], sign=True))
        for r in rows
    ]  # fmt: skip
    return join(
        chart(
            clip_figures.sensitivity(rows),
            narrow=clip_figures.sensitivity(rows, width=360),
            alt="Scores under each change: " + "; ".join(f"{k} {r}" for k, _, r, _ in lines),
        )
        if lines
        else None,
        join(prose("Not tried:"), bullets(gone)) if gone else None,
        tag(
            "details",
            tag("summary", "Each change"),
            table(
                ("change", "frames", "score", "difference"), [(None, detail)],
                caption="The score under each change",
            ),
        ),
    )  # fmt: skip


def _face(pictures: Pictures, name: str, alt: str, *, size: int = 112) -> Html:
    found: NDArray[np.uint8] | str = pictures.get(name, "no picture")
    if isinstance(found, str):
        return tag("span", found, class_="absent")
    return picture(found, alt=alt, size=size)

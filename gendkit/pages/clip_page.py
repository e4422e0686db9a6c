"""The page of a clip report: its record and pictures enter, one HTML document leaves.

Equal input gives equal bytes, so that whoever recomputes a report can compare the page, too. The
record itself is in the page, as data that no browser runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gendkit.markup import DASH, Html, Node, join, number, tag
from gendkit.pages.clip_person import person
from gendkit.pages.page import bullets, facts, note, page, prose, section, table, tile, tiles
from gendkit.pages.words import count, unit

if TYPE_CHECKING:
    from gendkit.pages.clip import Pictures

Record = Mapping[str, Any]
HIDDEN = ("showable", "device")
RECORD_ID = "gendkit-record"
FAKED = (
    "The face was synthesised or altered by manipulations of the kinds that the detector was "
    "trained on, or by others that leave the same traces in its features."
)
FILMED = (
    "The face was recorded by a camera, and what happened to the picture since is usual "
    "processing: compression, resizing, filters, editing that leaves the face alone."
)


def render(record: Record, pictures: Pictures) -> str:
    """Return the page."""
    people = [person(record, track, pictures) for track in record["tracks"]]
    parts = [
        ("question", "The question", _question(record)),
        ("file", "The file", _file(record)),
        *(
            (f"person-{t['track'] + 1}", f"Person {t['track'] + 1}", content)
            for t, content in zip(record["tracks"], people, strict=True)
        ),
        ("looked", "What was looked at", _looked(record)),
        ("reference", "The reference", _reference(record)),
        ("made", "How this was made", _made(record)),
    ]
    return page(
        f"Clip report: {record['file']['name']}",
        *(section(anchor, title, content) for anchor, title, content in parts),
        lead=_lead(record),
        contents=[(anchor, title) for anchor, title, _ in parts],
        foot=join(
            "Made by gendkit report. ",
            tag("code", "gendkit report verify FILE"),
            " recomputes this page and says what differs. Digest of the record: ",
            tag("code", record["digest"]),
            Html(text=_embedded(record)),
        ),
    )


def _embedded(record: Record) -> str:
    """Return the record as a block of data; nothing in it can end the block."""
    text = json.dumps(record, ensure_ascii=False, allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return f'<script type="application/json" id="{RECORD_ID}">{text}</script>'


def _lead(record: Record) -> Html:
    file, tracks = record["file"], record["tracks"]
    looked = len({frame["frame"] for frame in record["frames"]})
    if tracks:
        words = (
            f"{count(len(tracks), 'person', 'people')} in {looked} of {file['frames']:,} frames. "
            "A score is what the detector says of the kind of face that it was trained to tell: it "
            "is no probability that the clip is forged, and this page gives no verdict."
        )
    else:
        words = (
            f"No face was found in the {looked} of {file['frames']:,} frames that were looked at. "
            "The file was not examined, which is not the same as real."
        )
    return join(
        tag("p", "Clip report", class_="eyebrow"),
        tag("h1", file["name"]),
        tag("p", words, class_="lede"),
        tiles(*(_tile(track) for track in tracks)) if tracks else None,
        note(
            f"{count(len(tracks), 'person', 'people')} stand apart and are never averaged. With "
            "each more that is examined, a high score of one of them is more likely by chance."
        )
        if len(tracks) > 1
        else None,
    )


def _tile(track: Record) -> Html:
    low, high = number(track["score_lowest"], digits=2), number(track["score_highest"], digits=2)
    return tile(
        f"Person {track['track'] + 1}: score",
        number(track["score"], digits=2),
        f"mean over {count(track['faces'], 'frame', 'frames')}, which range from {low} to {high}",
    )


def _question(record: Record) -> Html:
    file = record["file"]
    seen = len({f["frame"] for f in record["frames"] if f["score"] is not None})
    return join(
        prose("Two propositions stand against each other, for each person in the file:"),
        bullets([join(tag("strong", "Forged. "), FAKED), join(tag("strong", "Filmed. "), FILMED)]),
        prose("Not examined, so that nothing is said about it here:"),
        bullets(
            [
                "sound, speech and whether the lips fit it;",
                f"{max(file['frames'] - seen, 0):,} of {file['frames']:,} frames"
                + (
                    ";"
                    if _whole(record)
                    else ", faces that the face extractor does not find, and "
                    "everything outside the faces;"
                ),
                "who the people are, and whether what they do or say happened;",
                "whether time stamps and tags of the file are true;",
                "manipulations that neither the training nor the reference shows.",
            ]
        ),
    )


def _whole(record: Record) -> bool:
    """Tell whether whole pictures were scored: they have a box and no landmarks."""
    return any(frame["box"] and not frame["landmarks"] for frame in record["frames"])


def _file(record: Record) -> Html:
    file, box = record["file"], record["file"]["container"]
    rows: list[tuple[Node, Node]] = [
        ("name", file["name"]),
        ("sha256", tag("code", file["sha256"])),
        ("bytes", f"{file['bytes']:,}"),
        ("container", box["format"]),
        ("duration", unit(box["duration"], "s")),
        ("frames that decode", f"{file['frames']:,}"),
    ]
    rows += [("problem", file["problem"])] if file["problem"] else []
    tags: list[tuple[Node, Node]] = list(box["tags"].items())
    for i, stream in enumerate(box["streams"], start=1):
        told = (
            stream["codec"], stream.get("profile"), _size(stream), stream.get("pixels"),
            unit(stream.get("frame_rate"), "frames a second"),
            unit(stream.get("sample_rate"), "Hz", digits=0),
        )  # fmt: skip
        words = ", ".join(str(part) for part in told if part and part != DASH)
        rows.append((f"stream {i}: {stream['kind']}", words))
        tags += [(f"stream {i}: {k}", v) for k, v in stream.get("tags", {}).items()]
    return join(
        prose("As the container states it; anybody can write anything there."),
        facts(rows),
        tag("details", tag("summary", "Tags"), facts(tags)) if tags else None,
    )


def _looked(record: Record) -> Html:
    rejected = [f for f in record["frames"] if f["reason"]]
    reasons: dict[str, int] = {}
    for frame in rejected:
        reasons[frame["reason"]] = reasons.get(frame["reason"], 0) + 1
    looked = len({f["frame"] for f in record["frames"]})
    settings, made = record["settings"], record["detector"]
    lines = [
        (
            str(f["frame"]),
            unit(f["time"], "s"),
            DASH if f["track"] is None else str(f["track"] + 1),
            number(f["score"]),
            f["reason"] or DASH,
            DASH if f["box"] is None else ", ".join(number(v, digits=0) for v in f["box"]),
            DASH if f["landmarks"] is None else _points(f["landmarks"]),
            DASH if f["crop_px"] is None else str(f["crop_px"]),
            tag("code", f["crop_sha256"][:16], title=f["crop_sha256"])
            if f["crop_sha256"]
            else DASH,
        )
        for f in record["frames"]
    ]
    head = (
        "frame", "time", "person", "score", "why not", "box in px", "landmarks in px",
        "crop in px", "crop sha256",
    )  # fmt: skip
    why = [f"{n} × {reason}" for reason, n in reasons.items()]
    found = (
        f"Faces are found by {made['extractor']}; people are told apart by where they are in the "
        "picture, and whoever moves far between two of these frames is listed as another."
    )
    if _whole(record):
        found = f"No face was sought: {made['extractor']} takes each picture, whole, for one."
    return join(
        prose(
            f"{looked} of {record['file']['frames']:,} frames were looked at, in the order "
            f"“{settings['order']}”, in search of {settings['frames']} with a usable face. {found}"
        ),
        join(prose("Without a usable face:"), bullets(why)) if why else None,
        tag(
            "details",
            tag("summary", "Every frame"),
            table(head, [(None, lines)], caption="Frames in order of time"),
        ),
    )


def _reference(record: Record) -> Html:
    found = record["reference"]
    lines = [
        (
            row["dataset"] or DASH,
            row["method"] or {0: "real", 1: "fake"}.get(row["label"], "unknown"),
            row["degradation"] or "as extracted", f"{row['crops']:,}", f"{row['clips']:,}",
            f"{row['people']:,}", _sides(row["face_side_px"]), row["split"] or DASH,
            row["licence"] or DASH,
        )
        for row in found["population"]
    ]  # fmt: skip
    head = (
        "data set", "method", "processing", "crops", "clips", "people",
        "side of the face in px: median (5 to 95 %)", "split", "licence",
    )  # fmt: skip
    return join(
        prose(
            f"{found['crops']:,} crops of {found['people']:,} people. What is near, usual or novel "
            "on this page is so among these, and among these alone. "
            f"{_codecs(found.get('codecs'))}"
        ),
        prose(_left_out(found["left_out"])) if "left_out" in found else None,
        table(head, [(None, lines)], caption="Who is in the reference"),
        facts([("store sha256", tag("code", found["store_sha256"]))]),
    )


def _left_out(crops: int) -> str:
    if crops:
        return f"{crops:,} of its crops are of this clip or its people, and are left out."
    return "By what was said of the clip, none of its crops is of it or of its people."


def _codecs(counts: Mapping[str, int] | None) -> str:
    if not counts:
        return "The codecs of its clips are not recorded beyond the processing named here."
    named = [f"{name or 'not known'} ({n:,})" for name, n in counts.items()]
    return f"Codecs of its clips' files: {', '.join(named)}."


def _made(record: Record) -> Html:
    made, settings = record["detector"], record["settings"]
    selection = made["selection"]
    rows: list[tuple[Node, Node]] = [
        ("adapter sha256", tag("code", made["adapter_sha256"])),
        ("backbone", f"{made['backbone']} at {made['input_px']} px, from {made['source']}"),
        ("backbone hash", tag("code", made["backbone_hash"])),
        ("recipe", f"{made['recipe'] or 'not recorded'}, seed {made['seed']}"),
        ("chosen by", _pairs(selection) or "not recorded"),
        ("preprocessing", tag("code", made["preprocessing_digest"])),
        ("compute", f"{made['dtype']} on {settings['device']}"),
        ("crops of the training", _pairs(made["extraction"]) or "not recorded"),
        (
            "settings",
            _pairs({k: v for k, v in settings.items() if k not in HIDDEN}),
        ),
        ("other seeds", ", ".join(h[:12] for h in made["members_sha256"]) or "none"),
        *(
            [("calibration", join(f"{found['name']}, ", tag("code", found["sha256"])))]
            if (found := record.get("calibration"))
            else []
        ),
        ("versions", _pairs(json.loads(record["made"]["versions"]))),
        ("created", record["made"]["created"]),
    ]
    return facts(rows)


def _short(sha256: str | None) -> Node:
    return tag("code", sha256[:16], title=sha256) if sha256 else DASH


def _pairs(mapping: Mapping[str, Any]) -> str:
    return ", ".join(f"{k} {v}" for k, v in mapping.items() if v not in (None, "", {}, []))


def _points(points: Iterable[Sequence[float]]) -> str:
    return " ".join(f"{x:.0f},{y:.0f}" for x, y in points)


def _size(stream: Record) -> str:
    return f"{stream['width']} × {stream['height']} px" if stream.get("width") else ""


def _sides(sides: Sequence[float] | None) -> str:
    if sides is None:
        return DASH
    low, middle, high = (number(side, digits=0) for side in sides)
    return f"{middle} ({low} to {high})"

"""The clip report: a file, a detector and a reference enter; a page that can be checked leaves.

It says what the score of each person's face in the file is, what it rests on, what is near and how
near that usually is, and what was not looked at. It gives no verdict.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from gendkit.data.container import container_facts, file_hash
from gendkit.data.examine import Crop, Examined
from gendkit.errors import InvalidArgument
from gendkit.evaluate.calibration import Calibration
from gendkit.evaluate.sensitivity import check_members, sensitivity_of
from gendkit.manifold.index import check_adapters
from gendkit.manifold.methods import likely_method
from gendkit.manifold.novelty import is_novel, novelty
from gendkit.manifold.schema import text_of
from gendkit.manifold.store import ADAPTER, open_embeddings
from gendkit.manifold.suspects import medoids
from gendkit.manifold.votes import votes
from gendkit.model.batches import check_positive
from gendkit.model.detector import Detector, load
from gendkit.output import check_new_file, write_whole
from gendkit.pages.clip_reference import SHOWABLE, Reference
from gendkit.pages.clip_strength import calibration_facts, strengths
from gendkit.pages.record import plain, records

if TYPE_CHECKING:
    from gendkit.data.media import Order
    from gendkit.device import Dtype

FORMAT = 1
VOTES = (5, 10, 20, 40)
MOST_NEAR = 20
Pictures = Mapping[str, "NDArray[np.uint8] | str"]


@dataclass(frozen=True, kw_only=True)
class ClipReport:
    """What is said of one file.

    Attributes
    ----------
    record
        Everything, as JSON values; `digest` is the sha256 of all the rest.
    pictures
        Faces by name, RGB uint8, or why there is none.
    """

    record: Mapping[str, Any]
    pictures: Pictures = field(repr=False, compare=False)

    def __repr__(self) -> str:
        tracks = self.record["tracks"]
        scores = ", ".join(f"person {t['track'] + 1} score {t['score']:.3f}" for t in tracks)
        name = self.record["file"]["name"]
        return f"ClipReport({name}: {scores or 'no face, not examined'})"

    def page(self) -> str:
        """Return the report as one HTML document that needs nothing from outside itself."""
        from gendkit.pages.clip_page import render

        return render(self.record, self.pictures)

    def to_json(self) -> str:
        """Return the record as JSON text."""
        return json.dumps(self.record, indent=1, allow_nan=False, ensure_ascii=False) + "\n"

    def write(self, path: str | Path, *, overwrite: bool = False) -> tuple[Path, Path]:
        """Write the page, and beside it the record.

        Parameters
        ----------
        path
            `NAME.html`; the record comes to `NAME.json`.
        overwrite
            Replace earlier ones.

        Returns
        -------
        The two files.

        Raises
        ------
        InvalidArgument
            If the path does not end in `.html`.
        OutputExists, UnwritableOutput
            If one of them is there already, or cannot be written.
        """
        files = report_files(path)
        for file in files:
            check_new_file(file, overwrite=overwrite)
        for file, text in zip(files, (self.page(), self.to_json()), strict=True):
            file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(file, text.encode("utf-8"))
        return files

    def _repr_html_(self) -> str:
        data = base64.b64encode(self.page().encode("utf-8")).decode()
        name = html.escape(self.record["file"]["name"], quote=True)
        return (
            f'<iframe title="clip report of {name}" sandbox="allow-same-origin" '
            f'src="data:text/html;charset=utf-8;base64,{data}" '
            'style="width:100%;height:760px;border:1px solid #8884;border-radius:6px"></iframe>'
        )


def report(
    media: str | Path,
    detector: Detector | str | Path,
    reference: xr.Dataset | str | Path,
    *,
    frames: int = 32,
    order: Order = "spread",
    k: int = 5,
    draws: int = 5,
    members: Sequence[Detector | str | Path] = (),
    known: Mapping[str, str] | None = None,
    calibration: Calibration | str | Path | None = None,
    showable: Collection[str] = SHOWABLE,
    seed: int = 0,
    device: str | None = None,
    dtype: Dtype | None = None,
) -> ClipReport:
    """Say what a detector finds in a file, what that rests on, and what was not examined.

    Parameters
    ----------
    media
        A picture or video.
    detector
        Or its adapter's file or folder.
    reference
        Embeddings with labels by the same adapter, or their store. Choose one whose people,
        cameras and codecs are like the file's; the report can only say how far that is so.
    frames, order
        How many frames with a face are looked at, and which first; see `Detector.score`.
    k
        How many nearest reals, and fakes, are listed.
    draws
        How often crops are moved and frames drawn; see `gk.sensitivity`.
    members
        Detectors, or their adapters, that were trained in the same way with other seeds.
    known
        What is known of the clip: `dataset`, `video`, `pair`, `target_identity` or
        `donor_identity`. Crops of the reference that share them are left out; ids are those of a
        data set, which is then known, too.
    calibration
        Or its file; of the same adapter. The page then says what each score is worth as evidence.
    showable
        Licences under which faces of the reference are shown; others are blurred.
    seed
        Of all that is drawn.
    device, dtype
        Of detectors that are given as adapters; see `gk.load`.

    Raises
    ------
    MissingMedia, UnreadableMedia
        If there is no file, or nothing in it can be decoded.
    InvalidEmbeddings
        If the reference has no labels, is by another adapter, or shows fewer than four people.
    InvalidArgument
        If a number is impossible, or something unknown is `known`.
    InvalidCalibration
        If the calibration is no such file, or of another adapter.
    """
    for name, value in (("frames", frames), ("draws", draws), ("k", k)):
        check_positive(name, value)
    if k > MOST_NEAR:
        raise InvalidArgument(f"k is {k}; give {MOST_NEAR} or less: a report lists each of them.")
    known = _checked(known)
    given = {
        "media": os.fsencode(media).decode("utf-8", "backslashreplace"),
        "adapter": "" if isinstance(detector, Detector) else str(detector),
        "reference": "" if isinstance(reference, xr.Dataset) else str(reference),
        "members": ["" if isinstance(m, Detector) else str(m) for m in members],
    }
    if calibration is not None and not isinstance(calibration, Calibration):
        given["calibration"] = str(calibration)
        calibration = Calibration.read(calibration)
    media = Path(media)
    name = os.fsencode(media.name).decode("utf-8", "backslashreplace")
    about: dict[str, Any] = {
        "name": name,
        "sha256": file_hash(media),
        "bytes": media.stat().st_size,
    }
    about["container"] = container_facts(media)
    if not isinstance(detector, Detector):
        detector = load(detector, device=device, dtype=dtype)
    if not isinstance(reference, xr.Dataset):
        reference = open_embeddings(reference)
    if calibration is not None:
        calibration.check(detector)
    check_adapters(_attributed(detector), reference)
    others = [
        m if isinstance(m, Detector) else load(m, device=device, dtype=dtype) for m in members
    ]
    check_members(detector, others)
    _check_reaches(known, reference)
    measured = Reference.of(reference.compute(), k=k, seed=seed, showable=showable)
    examined = detector.examine(media, frames=frames, order=order, which="all")
    ds = _embedded(examined, detector, {"video": "clip", **known})
    tracks, pictures = [], dict[str, "NDArray[np.uint8] | str"]()
    if ds.sizes["sample"]:
        asked = _asked(ds, measured.ds, seed=seed)
        table = sensitivity_of(
            media, examined, detector, frames=frames, order=order, draws=draws, members=others,
            seed=seed,
        )  # fmt: skip
        worth = {} if calibration is None else strengths(calibration, detector, examined.faces, ds)
        for medoid in medoids(ds).tolist():
            one = _track(asked, medoid, measured, k=k)
            if one["track"] in worth:
                one["strength"] = worth[one["track"]]
            one["sensitivity"] = records(table[table["track"] == one["track"]])
            tracks.append(one)
        near = [n["sample"] for t in tracks for side in t["nearest"].values() for n in side]
        pictures |= {f"reference/{s}": face for s, face in measured.faces(near).items()}
        pictures |= {
            f"frame/{c.frame}/{c.track}": c.image for c in examined.faces if c.image is not None
        }
    record = {
        "format": FORMAT,
        "made": {"created": datetime.now(UTC).isoformat(timespec="seconds"), **_versions()},
        "inputs": given,
        "settings": {
            "frames": frames, "order": order, "k": k, "draws": draws, "seed": seed,
            "known": known, "showable": sorted(showable), "device": detector.device,
        },
        "file": {**about, "frames": examined.frames_total, "problem": examined.problem},
        "detector": _detector(detector, others),
        "reference": measured.facts() | ({"left_out": measured.related(known)} if known else {}),
        "frames": _frames(examined, ds),
        "tracks": sorted(tracks, key=lambda t: t["track"]),
        **({} if calibration is None else {"calibration": calibration_facts(calibration)}),
    }  # fmt: skip
    record = plain(record)
    return ClipReport(record={**record, "digest": digest_of(record)}, pictures=pictures)


def report_files(path: str | Path) -> tuple[Path, Path]:
    """Return the page's and the record's file.

    Raises
    ------
    InvalidArgument
        If the path does not end in `.html`.
    """
    path = Path(path)
    if path.suffix.lower() != ".html":
        raise InvalidArgument(f"a report is written as NAME.html and NAME.json, got {path}.")
    return path, path.with_suffix(".json")


def digest_of(record: Mapping[str, Any]) -> str:
    """Return the sha256 of a record without its own digest, by its canonical JSON text."""
    rest = {key: value for key, value in record.items() if key != "digest"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _checked(known: Mapping[str, str] | None) -> dict[str, str]:
    names = ("dataset", "video", "pair", "target_identity", "donor_identity")
    wrong = sorted(set(known or {}) - set(names))
    if wrong:
        raise InvalidArgument(f"known has {', '.join(wrong)}; it may have {', '.join(names)}.")
    return {key: str(value) for key, value in (known or {}).items()}


def _check_reaches(known: Mapping[str, str], reference: xr.Dataset) -> None:
    """Refuse what is known of a clip that names nobody in the reference for want of a data set."""
    if not known or "dataset" in known or "dataset" not in reference.variables:
        return
    there = sorted(set(text_of(reference["dataset"]).tolist()) - {""})
    if there:
        raise InvalidArgument(
            f"known has {', '.join(known)} but no dataset, without which nobody in the reference "
            f"is meant; give dataset as well: {', '.join(there)}."
        )


def _attributed(detector: Detector) -> xr.Dataset:
    return xr.Dataset(attrs={ADAPTER: detector.adapter.hash})


def _embedded(examined: Examined, detector: Detector, known: Mapping[str, str]) -> xr.Dataset:
    """Embed the faces that were found, as a Dataset with what is known of the clip."""
    faces = examined.faces
    out = detector.outputs([face.image for face in faces if face.image is not None])
    count = len(faces)
    return xr.Dataset(
        {
            "embedding": (("sample", "feature"), out.embedding),
            "score": ("sample", out.score),
            "frame": ("sample", np.array([f.frame for f in faces], np.int64)),
            "track": ("sample", np.array([f.track for f in faces], np.int64)),
            **{name: ("sample", np.full(count, value, object)) for name, value in known.items()},
        },
        coords={"sample": np.array([f"clip/{f.frame}/{f.track}" for f in faces], object)},
        attrs={ADAPTER: detector.adapter.hash},
    )


def _asked(ds: xr.Dataset, reference: xr.Dataset, *, seed: int) -> xr.Dataset:
    """Ask the reference about all crops: novelty and the likely method of each track."""
    ds = novelty(ds, reference, seed=seed)
    if {"method", "dataset"} <= set(map(str, reference.variables)):
        ds = likely_method(ds, reference, seed=seed)
    return ds


def _track(ds: xr.Dataset, medoid: int, measured: Reference, *, k: int) -> dict[str, Any]:
    """Return what is said of one person."""
    track = int(ds["track"].to_numpy()[medoid])
    rows = np.flatnonzero(ds["track"].to_numpy() == track)
    scores = ds["score"].to_numpy()[rows].astype(np.float64)
    query = ds.isel(sample=[medoid])
    score = float(scores.mean())
    out: dict[str, Any] = {
        "track": track,
        "faces": len(rows),
        "score": score,
        "score_lowest": float(scores.min()),
        "score_highest": float(scores.max()),
        "standing": measured.standing(score),
        "nearest_frame": int(ds["frame"].to_numpy()[medoid]),
        "nearest": measured.near(query, k=k),
        "equal": measured.equals(ds["embedding"].to_numpy()[rows]),
        "novelty": {
            "angle": float(query["novelty"].item()),
            "p": float(query["novelty_p"].item()),
            "novel": bool(is_novel(query)[0]),
            **{n: query["novelty_p"].attrs[n] for n in ("alpha", "k", "calibration", "least_p")},
        },
        "votes": [],
    }
    for number in VOTES:
        voted = votes(query, measured.ds, k=number)
        out["votes"].append(
            {
                "k": number,
                "real": int(voted["votes_real"].item()),
                "fake": int(voted["votes_fake"].item()),
                "ratio": float(voted["vote_ratio"].item()),
                "p": float(voted["vote_p"].item()),
            }
        )
    if "likely_method" in ds.variables:
        about = ds["likely_method"].attrs
        names = (
            "accuracy", "chance", "refused", "never_refused", "accuracy_clips",
            "accuracy_datasets", "k", "alpha",
        )  # fmt: skip
        out["method"] = {
            "likely": str(query["likely_method"].item()),
            "nearest_dataset": str(query["nearest_dataset"].item()),
            **{name: about[name] for name in names},
        }
    return out


def _frames(examined: Examined, ds: xr.Dataset) -> list[dict[str, Any]]:
    scores = dict(
        zip(ds["sample"].to_numpy().tolist(), ds["score"].to_numpy().tolist(), strict=True)
    )
    return [
        {
            "frame": crop.frame,
            "time": crop.time,
            "track": crop.track if crop.box is not None else None,
            "score": scores.get(f"clip/{crop.frame}/{crop.track}"),
            "box": crop.box,
            "landmarks": crop.landmarks,
            "confidence": crop.confidence,
            "crop_px": None if crop.image is None else crop.image.shape[0],
            "crop_sha256": _crop_hash(crop),
            "reason": crop.reason,
        }
        for crop in examined.crops
    ]


def _crop_hash(crop: Crop) -> str | None:
    if crop.image is None:
        return None
    pixels = np.ascontiguousarray(crop.image)
    return hashlib.sha256(f"{pixels.shape}".encode() + pixels.tobytes()).hexdigest()


def _detector(detector: Detector, members: Sequence[Detector]) -> dict[str, Any]:
    header = detector.adapter.header
    recipe = dict(header.recipe)
    return {
        "adapter_sha256": detector.adapter.hash,
        "backbone": header.backbone,
        "backbone_hash": header.backbone_hash,
        "source": header.source,
        "kind": header.kind,
        "recipe": recipe.get("name", ""),
        "seed": recipe.get("seed"),
        "selection": recipe.get("selection", {}),
        "preprocessing_digest": header.preprocessing.digest,
        "input_px": header.preprocessing.size,
        "dtype": detector.dtype,
        "extraction": dict(header.extraction),
        "extractor": detector.extractor_name,
        "members_sha256": [member.adapter.hash for member in members],
    }


def _versions() -> dict[str, str]:
    from gendkit.train.engine import versions

    return {"versions": json.dumps(versions(), sort_keys=True)}

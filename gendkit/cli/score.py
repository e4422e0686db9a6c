"""`gendkit score`: a row a file, with the score and what it rests on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gendkit.cli.options import ADAPTER, DEVICE, DTYPE, TIME_LIMIT
from gendkit.cli.show import show_csv, show_json, show_table

if TYPE_CHECKING:
    from gendkit.evaluate.calibration import Calibration, Evidence
    from gendkit.measure.thresholds import Threshold
    from gendkit.model.score import Score

FILE_COLUMNS = (
    *("path", "status", "score", "faces", "people", "person", "frames_looked_at", "frames_total"),
    *("frames_without_face", "reasons", "problem", "seconds", "adapter", "dtype"),
    *("extractor", "threshold", "scale", "order", "frames_asked", "which"),
)
CALLED_COLUMNS = ("called", "called_above", "corrected_for", "fpr", "reals")
EVIDENCE_COLUMNS = ("log10_lr", "support", "decision", "not_validated")
FRAME_COLUMNS = ("path", "frame", "track", "time", "score", "reason")
_log = logging.getLogger(__name__)


def _share(ctx: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    """Refuse what is no share, NaN included."""
    if value is not None and not 0 < value < 1:
        raise click.BadParameter(f"{value} is not in the range 0<x<1.")
    return value


@click.command()
@click.argument(
    "paths", nargs=-1, required=True, metavar="PATH...", type=click.Path(path_type=Path)
)
@ADAPTER
@click.option("--frames", default=32, show_default=True, type=click.IntRange(1),
              help="Faces sought in a video.")  # fmt: skip
@click.option("--order", default="spread", show_default=True,
              type=click.Choice(["spread", "uniform", "stride", "random"]),
              help="Which frames of a video are looked at first.")  # fmt: skip
@click.option("--extractor", help="Face extractor [default: that of the training].")
@click.option(
    "--which", default="largest", show_default=True,
    type=click.Choice(["largest", "track", "all"]),
    help="Faces of a frame. track: those of the clip's main person; all: each, and each person of "
    "the clip has a score.",
)  # fmt: skip
@click.option(
    "--reals", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False),
    help="Also call each file fake or not: CSV that this command wrote of clips known to be real, "
    "with the same adapter and options.",
)  # fmt: skip
@click.option("--fpr", type=float, callback=_share, metavar="RATE",
              help="Share of real files that --reals may call fake [default: 0.05].")  # fmt: skip
@click.option(
    "--calibration", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False),
    help="Also say what each person's score is worth as evidence: written by `gendkit calibrate` "
    "for the same adapter.",
)  # fmt: skip
@TIME_LIMIT
@DEVICE
@DTYPE
@click.option("--per-frame", is_flag=True, help="Also each frame that was looked at.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document: a list of files.")
@click.option(
    "--csv", "as_csv", is_flag=True, help="CSV: a row a file, or with --per-frame a frame."
)
def score(
    paths: tuple[Path, ...],
    *,
    adapter: Path,
    frames: int,
    order: Any,
    extractor: str | None,
    which: Any,
    reals: Path | None,
    fpr: float | None,
    calibration: Path | None,
    time_limit: float | None,
    device: str | None,
    dtype: Any,
    per_frame: bool,
    as_json: bool,
    as_csv: bool,
) -> int:
    """Score pictures, videos and folders: 0 real, 1 fake.

    The score of a file is the mean over its frames with a face. It is no probability: how many
    fakes the detector was trained on is in it. With --which all people are never
    averaged: a clip has a row a person, and the file's score is the highest, which is higher by
    chance alone the more people there are. With largest a frame's face is whoever is largest in it,
    with track that of one person. A file without a face was not examined, which is not the same as
    real.

    With --reals each file is called: fake if its score is above a threshold that the share --fpr of
    real files exceeds, corrected for the number of people who were examined in it. "not fake" does
    not mean real, and with too few real clips for that many people it is "not estimable".

    With --calibration each person has a likelihood ratio, how many times as likely such a score is
    among fakes as among real clips, as log10, and a decision (real, fake, cannot tell). Both are
    about the clips of the calibration; a face or picture that is unlike these is "not validated",
    and the note says why. With --json, p_real and p_fake are the p-values that the decision is made
    by: how rare such a score is among reals, and among fakes. temperature and isotonic are shares
    of fakes in a set with as many as the calibration's.

    The exit code is 1 if any file could not be read in full, was not examined or not called; the
    others are scored all the same.

    \b
    Example: gendkit score holiday.mp4 photos --adapter gendkit-demo/run
             gendkit score holiday.mp4 --adapter run --json --per-frame
             gendkit score reals --adapter run --which all --csv > reals.csv
             gendkit score holiday.mp4 --adapter run --which all --reals reals.csv
             gendkit score holiday.mp4 --adapter run --calibration calibration.json
    """
    if as_json and as_csv:
        raise click.UsageError("give --json or --csv, not both.")
    if fpr is not None and reals is None:
        raise click.UsageError("--fpr is about --reals: give the scores of clips known to be real.")
    for option, given in (("--reals", reals), ("--calibration", calibration)):
        if given is not None and per_frame and not as_json:
            raise click.UsageError(
                f"files are called, not frames: give {option} without --per-frame, or add --json."
            )
    import gendkit
    from gendkit.progress import Bars

    detector = gendkit.load(adapter, device=device, dtype=dtype)
    weighed_by = None
    if calibration is not None:
        weighed_by = gendkit.Calibration.read(calibration)
        weighed_by.check(detector)
    built = detector.sendable_extractor(extractor)
    name = extractor or detector.extractor_name
    known = None
    if reals is not None:
        from gendkit.cli.reals import read_reals, scored_with

        made_with = scored_with(detector, built, name=name, order=order, frames=frames, which=which)
        known = read_reals(reals, made_with=made_with)

    def score_one(path: Path) -> tuple[Score, tuple[Evidence, ...]]:
        options: dict[str, Any] = {
            "frames": frames, "order": order, "extractor": built, "which": which,
            "time_limit": time_limit,
        }  # fmt: skip
        if weighed_by is None:
            return replace(detector.score(path, **options), extractor=name), ()
        from gendkit.evaluate.strength import weigh_file

        return weigh_file(path, detector, weighed_by, name=name, **options)

    files, bars = list(_files(paths)), Bars()
    results = []
    for i, file in enumerate(files):
        results.append(file if isinstance(file, _Result) else _score(file, score_one))
        bars(i + 1, len(files), "score")
    if known is not None:
        results = [r.called(known, fpr=0.05 if fpr is None else fpr) for r in results]
    columns = FILE_COLUMNS if known is None else (*FILE_COLUMNS, *CALLED_COLUMNS)
    if as_json:
        show_json([r.record(per_frame=per_frame, weighed=weighed_by) for r in results])
    elif per_frame:
        _show_frames(results, as_csv=as_csv)
    elif as_csv:
        columns = columns if weighed_by is None else (*columns, *EVIDENCE_COLUMNS)
        show_csv([{**r.record(), **r.highest, "reasons": r.reasons} for r in results], columns)
    else:
        _show_files(results, weighed_by)
    return _complain(results)


@dataclass(frozen=True, kw_only=True)
class _Result:
    """A file's score, or why there is none."""

    path: str
    score: Score | None = None
    error: str = ""
    threshold: Threshold | None = None
    verdict: str = ""
    evidence: tuple[Evidence, ...] = ()

    @property
    def highest(self) -> dict[str, Any]:
        """What the score of the file, which is the highest of its people's, is worth."""
        own = [e for e in self.evidence if self.score and e.track == self.score.person]
        values: tuple[Any, ...] = (None,) * len(EVIDENCE_COLUMNS)
        for e in own:
            values = (e.log10_lr, e.support, e.decision, "; ".join(e.reasons))
        return dict(zip(EVIDENCE_COLUMNS, values, strict=True))

    def called(self, reals: list[float], *, fpr: float) -> _Result:
        """Return it with what it is called, by the scores of clips known to be real."""
        from gendkit.measure.thresholds import corrected_threshold

        people = len(self.score.people) if self.score else 0
        if self.score is None or not people:
            return replace(self, verdict="not examined")
        threshold = corrected_threshold(reals, fpr=fpr, people=people)
        return replace(self, threshold=threshold, verdict=threshold.call(self.score.score))

    @property
    def reasons(self) -> str:
        """Why frames have no face, in one text."""
        reasons = self.score.reasons if self.score else {}
        return "; ".join(f"{n} x {reason}" for reason, n in reasons.items())

    @property
    def problem(self) -> str:
        """Why the file counts as failed; empty if it does not."""
        if self.score is None:
            return self.error
        if self.score.score is None:
            why = "; ".join(filter(None, (self.reasons, self.score.problem)))
            return (
                f"not examined, which is not the same as real: {why or 'no frame'}; expected is a "
                "face that can be seen: give other media, or another --extractor."
            )
        uncalled = self.threshold.reason if self.threshold else ""
        if uncalled:
            uncalled = f"not called: {uncalled}; give more --reals, or a larger --fpr."
        return "; ".join(filter(None, (self.score.problem, uncalled)))

    def record(
        self, *, per_frame: bool = False, weighed: Calibration | None = None
    ) -> dict[str, Any]:
        if self.score is None:
            empty = dict.fromkeys(FILE_COLUMNS)
            record = empty | {"path": self.path, "status": "unreadable", "problem": self.error}
            record |= {"faces": 0, "frames_looked_at": 0, "reasons": {}}
        else:
            record = self.score.to_dict()
        if self.verdict:
            at = self.threshold
            values = (at.value, at.people, at.fpr, at.reals) if at else (None,) * 4
            record |= dict(zip(CALLED_COLUMNS, (self.verdict, *values), strict=True))
        if weighed is not None:
            record["evidence"] = [asdict(evidence) for evidence in self.evidence]
            record["population"] = str(weighed.population)
        if per_frame:
            record["frames"] = [f.to_dict() for f in (self.score.frames if self.score else ())]
        return record


def _files(paths: tuple[Path, ...]) -> Iterator[Path | _Result]:
    """Give the media that are meant, each once, and a result for each path that means none."""
    from gendkit.data.media import find_media
    from gendkit.errors import GendkitError

    seen: set[Path] = set()
    for path in paths:
        try:
            found = find_media(path)
        except GendkitError as error:
            yield _Result(path=str(path), error=str(error))
            continue
        yield from (file for file in found if file not in seen)
        seen.update(found)


def _score(path: Path, score_one: Callable[[Path], tuple[Score, tuple[Evidence, ...]]]) -> _Result:
    from gendkit.errors import GendkitError
    from gendkit.markup import visible

    try:
        found, evidence = score_one(path)
        return _Result(path=str(path), score=found, evidence=evidence)
    except GendkitError as error:
        return _Result(path=str(path), error=visible(error))
    except Exception as error:
        # One file must not take the others with it; the traceback is told all the same.
        _log.warning("%s cannot be scored", path, exc_info=True)
        return _Result(path=str(path), error=visible(f"{path}: {type(error).__name__}: {error}"))


def _show_files(results: list[_Result], weighed: Calibration | None) -> None:
    rows: list[tuple[Any, ...]] = []
    calls = any(result.verdict for result in results)

    def row(
        name: str, value: str, call: str, at: Threshold | None, worth: Evidence | None, *rest: Any
    ) -> None:
        above = None if at is None or at.value is None else f"{at.value:.3f}"
        ratio = worth and (worth.support if worth.log10_lr is None else f"{worth.log10_lr:+.2f}")
        decision = worth and (None if worth.log10_lr is None else worth.decision)
        evidence = [ratio, decision] if weighed else []
        note = "; ".join(filter(None, (rest[-1], _words(worth))))
        rows.append((name, value, *([call, above] if calls else []), *evidence, *rest[:-1], note))

    for result in results:
        found, at = result.score, result.threshold
        if found is None:
            row(result.path, "unreadable", result.verdict, at, None, *[None] * 4, result.error)
            continue
        value = "not examined" if found.score is None else f"{found.score:.3f}"
        people, worth = found.people, {e.track: e for e in result.evidence}
        highest = ""
        if found.person is not None and len(people) > 1:
            highest = f"highest of {len(people)} people: person {found.person + 1}"
        note = "; ".join(filter(None, (highest, result.reasons, found.problem)))
        counts = (found.faces, found.frames_looked_at, found.frames_total)
        only = None if highest else next(iter(result.evidence), None)
        row(result.path, value, result.verdict, at, only, *counts, f"{found.seconds:.1f}", note)
        for track, score in people.items() if highest else ():
            faces = sum(f.track == track and f.score is not None for f in found.frames)
            call = at.call(score) if at else ""
            own = worth.get(track)
            row(f"  person {track + 1}", f"{score:.3f}", call, at, own, faces, *[None] * 3, "")
    called = ("called", "above") if calls else ()
    evidence = ("log10 LR", "decision") if weighed else ()
    rest = ("faces", "looked at", "frames", "seconds", "note")
    right = ("score", "above", "log10 LR", *rest[:-1])
    show_table(rows, ("file", "score", *called, *evidence, *rest), right=right)
    if weighed is not None:
        from gendkit.measure.likelihood import SCALE_SOURCE

        click.echo(
            "LR: how many times as likely such a score is among fakes as among real clips, of "
            f"{weighed.population}. Words: {SCALE_SOURCE}."
        )
        for limit in dict.fromkeys(
            limit for r in results for e in r.evidence for limit in e.limits
        ):
            click.echo(f"Note: {limit}.")


def _words(worth: Evidence | None) -> str:
    """Return the strength of evidence in words, or why there is none."""
    if worth is None or worth.reasons:
        return "; ".join(worth.reasons) if worth else ""
    return f"{worth.support}{' (at the bound of what its clips support)' if worth.at_bound else ''}"


def _show_frames(results: list[_Result], *, as_csv: bool) -> None:
    rows = [
        {**frame, "path": result.path}
        for result in results
        for frame in ([vars(f) for f in result.score.frames] if result.score else [])
        or [{**dict.fromkeys(FRAME_COLUMNS), "reason": result.problem}]
    ]
    if as_csv:
        return show_csv(rows, FRAME_COLUMNS)
    for row in rows:
        row["time"] = None if row["time"] is None else f"{row['time']:.3f}"
        row["score"] = None if row["score"] is None else f"{row['score']:.3f}"
        row["track"] = None if row["track"] is None else row["track"] + 1
    columns = ("file", "frame", "person", "time", "score", "reason")
    show_table(
        [[row[c] for c in FRAME_COLUMNS] for row in rows],
        columns,
        right=("frame", "person", "time", "score"),
    )
    return None


def _complain(results: list[_Result]) -> int:
    """Say on stderr what is wrong with each failed file; return the exit code."""
    from gendkit.cli import FAILED, complain

    failed = [result for result in results if result.problem]
    for result in failed:
        told = result.path in result.problem
        complain(result.problem if told else f"{result.path}: {result.problem}")
    return FAILED if failed else 0

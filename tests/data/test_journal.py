"""An extraction that is interrupted, killed or repeated, here and on several workers."""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import pytest
from PIL import Image

from gendkit.data import extract as extract_module
from gendkit.data.clips import clips_of
from gendkit.data.cropping import Done
from gendkit.data.extract import extract
from gendkit.data.faces import TEMPLATE
from gendkit.data.journal import Journal
from gendkit.data.manifest import Manifest
from gendkit.data.masked import MaskedVideo
from gendkit.errors import InvalidArgument, NotExamined, OutputExists
from gendkit.plugin import FaceExtractorSpec
from gendkit.plugin.protocols import Clip, Face, Frame
from gendkit.testing.small import registered

CLIPS = 6


def faces(image: np.ndarray) -> list[Face]:
    points = np.asarray(TEMPLATE, dtype=np.float32) * 20 + 6
    return [Face(box=(6, 6, 26, 26), landmarks=points, confidence=0.75)]


class Always:
    """Finds a face in every picture, unless it is interrupted at a clip; which is no part of it."""

    threshold = 0.5
    calls = 0

    def __init__(self, stop_at: int = -1) -> None:
        self.stop_at = stop_at

    def __call__(self, image: np.ndarray, /) -> list[Face]:
        if int(image[1, 1, 0]) // 10 == self.stop_at:
            raise KeyboardInterrupt
        type(self).calls += 1
        return faces(image)

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return Always, ()


def render(number: int, frames: int = 2) -> Iterator[Frame]:
    for index in range(frames):
        image = np.full((32, 32, 3), (10 * number + index) % 250, np.uint8)
        image[::2, ::3] = 255 - image[::2, ::3]
        yield Frame(index=index, time=index / 25, image=image)


def clips(count: int = CLIPS) -> list[Clip]:
    return [
        Clip(video=f"v/{n}", media=functools.partial(render, n), dataset="set", label=n % 2,
             method="swap" if n % 2 else "")
        for n in range(count)
    ]  # fmt: skip


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extract_module, "cores", lambda: 1)


@pytest.fixture
def whole(tmp_path: Path) -> dict[str, bytes]:
    """What an uninterrupted run leaves."""
    extract(clips(), tmp_path / "whole", extractor=Always())
    return bytes_of(tmp_path / "whole")


def interrupted(out: Path, *, at: int = 4) -> Path:
    """Interrupt a run at a clip and return what it leaves."""
    with pytest.raises(KeyboardInterrupt):
        extract(clips(), out, extractor=Always(at))
    left = out.with_name(f".{out.name}-extraction")
    assert not out.exists()
    return left


def test_the_same_call_on_a_finished_output_does_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    made = extract(clips(), out, extractor=Always())
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*")}
    calls, told = Always.calls, []
    again = extract(clips(), out, extractor=Always(), progress=lambda *step: told.append(step))
    assert again.table["sample"].tolist() == made.table["sample"].tolist()
    assert (Always.calls, told) == (calls, [])
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*")} == before
    packed = extract(clips(), out, extractor=Always(), pack=True)
    assert packed.packed is not None


def test_a_call_with_anything_else_is_another_output(tmp_path: Path) -> None:
    out, file = tmp_path / "out", tmp_path / "a.png"
    Image.fromarray(np.full((32, 32, 3), 9, np.uint8)).save(file)
    first = [replace(clips(1)[0], media=file), *clips()[1:]]
    extract(first, out, extractor=Always(), time_limit=None)
    others: list[tuple[Sequence[Clip], dict[str, Any]]] = [
        (first, {"frames": 1}),
        (first[:-1], {}),
        ([replace(first[0], label=1, method="swap"), *first[1:]], {}),
        ([*first[:-1], replace(first[-1], media=functools.partial(render, 77))], {}),
    ]
    for other, options in others:
        with pytest.raises(OutputExists, match="--overwrite"):
            extract(other, out, extractor=Always(), **{"time_limit": None, **options})
    Image.fromarray(np.full((32, 32, 3), 8, np.uint8)).save(file)
    with pytest.raises(OutputExists, match="--overwrite"):
        extract(first, out, extractor=Always(), time_limit=None)


def test_an_interrupted_run_goes_on_and_leaves_the_same(
    tmp_path: Path, whole: dict[str, bytes]
) -> None:
    left = interrupted(tmp_path / "out")
    noted = len((left / "journal.jsonl").read_bytes().splitlines())
    assert noted >= 4
    calls, told = Always.calls, []
    extract(clips(), tmp_path / "out", extractor=Always(), progress=lambda n, *_: told.append(n))
    assert told == list(range(noted + 1, CLIPS + 1)), "those noted are not done again"
    assert Always.calls - calls == 2 * (CLIPS - noted)
    assert bytes_of(tmp_path / "out") == whole
    assert not left.exists()


def test_what_a_killed_run_had_begun_is_removed_or_made_anew(
    tmp_path: Path, whole: dict[str, bytes]
) -> None:
    left = interrupted(tmp_path / "out")
    journal = left / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-1]) + lines[-1][:40])  # it was writing
    tree = left / "tree"
    (tree / "set/real/v/2/000001.png").unlink()
    (tree / "set/real/v/9").mkdir()
    (tree / "set/real/v/9/000000.png").write_bytes(b"half")
    (tree / "set/swap/v/5.png.part").write_bytes(b"half")
    (tree / "manifest.parquet").write_bytes(b"half")
    calls = Always.calls
    extract(clips(), tmp_path / "out", extractor=Always())
    kept = {json.loads(line)["clip"] for line in lines[:-1]} - {2}  # whose crop is gone
    assert Always.calls - calls == 2 * (CLIPS - len(kept)), "all others are done again"
    assert bytes_of(tmp_path / "out") == whole


def test_what_another_run_left_is_removed_with_a_warning(
    tmp_path: Path, whole: dict[str, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    interrupted(tmp_path / "out")
    with caplog.at_level(logging.WARNING):
        made = extract(clips(), tmp_path / "out", extractor=Always(), frames=1)
    assert [r.levelname for r in caplog.records] == ["WARNING"] * 2
    assert "the same call goes on with the others" in caplog.records[0].message
    assert "other clips or settings" in caplog.records[1].message
    assert len(made) == CLIPS
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "whole"]


def test_clips_that_cannot_be_known_again_are_not_gone_on_with(tmp_path: Path) -> None:
    def local(number: int) -> Clip:
        return replace(clips()[number], media=lambda: render(number if nobody else 0))

    nobody = threading.Lock()  # nothing can be known of it in another process

    mine = [local(n) for n in range(CLIPS)]
    with pytest.raises(KeyboardInterrupt):
        extract(mine, tmp_path / "out", extractor=Always(4))
    told: list[int] = []
    made = extract(
        mine, tmp_path / "out", extractor=Always(), progress=lambda n, *_: told.append(n)
    )
    assert told == [1, 2, 3, 4, 5, 6]
    assert made.meta["inputs"] is None
    with pytest.raises(OutputExists, match="--overwrite"):
        extract(mine, tmp_path / "out", extractor=Always())


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    source = [*clips(1), Clip(video="pipe", media=tmp_path / "pipe.mp4", dataset="set", label=0)]
    made = extract(source, tmp_path / "out", extractor=Always())
    assert list(made.meta["problems"]) == ["set/pipe"]


@pytest.mark.slow
def test_an_interrupted_run_does_not_wait_for_what_is_being_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Endless(Always):
        def __call__(self, image: np.ndarray, /) -> list[Face]:
            (tmp_path / "begun").touch()
            time.sleep(600)
            return []

        def __reduce__(self) -> tuple[type, tuple[()]]:
            return Endless, ()

    def wait(number: int) -> Iterator[Frame]:
        while not (tmp_path / "begun").exists():
            threading.Event().wait(0.05)
        raise KeyboardInterrupt
        yield

    picture(tmp_path / "a.png", 1)
    slow = Clip(video="a", media=tmp_path / "a.png", dataset="set", label=0)
    fails = replace(clips(1)[0], media=functools.partial(wait, 1))
    begun = time.monotonic()
    monkeypatch.setattr(extract_module, "cores", lambda: 2)
    with pytest.raises(KeyboardInterrupt):
        extract([slow, fails], tmp_path / "out", extractor=Endless())
    assert time.monotonic() - begun < 60


def test_a_place_that_is_taken_up_while_it_is_left_is_not_removed(tmp_path: Path) -> None:
    one = Journal(tmp_path / "out", "a")
    released = one._lock.release

    def release() -> None:
        released()
        others.append(Journal(tmp_path / "out", "b"))

    others: list[Journal] = []
    one._lock.release = release  # type: ignore[method-assign]
    with one:
        pass
    with others[0] as other:
        other.add(0, Done(name="set/v", rows=[]))
        assert [done.name for done in other] == ["set/v"]


def test_a_journal_that_is_gone_is_begun_anew(tmp_path: Path) -> None:
    left = interrupted(tmp_path / "out")
    (left / "journal.jsonl").unlink()
    assert len(extract(clips(), tmp_path / "out", extractor=Always())) == 2 * CLIPS


def test_two_runs_to_one_place_do_not_meet(tmp_path: Path) -> None:
    left = interrupted(tmp_path / "out")
    with (
        filelock.FileLock(left / "lock"),
        pytest.raises(OutputExists, match="another process is extracting"),
    ):
        extract(clips(), tmp_path / "out", extractor=Always())
    assert len(extract(clips(), tmp_path / "out", extractor=Always())) == 2 * CLIPS


def test_a_journal_gives_what_was_noted_in_the_order_of_the_clips(tmp_path: Path) -> None:
    done = {
        n: Done(name=f"set/{n}", rows=[{"path": "", "frame": n, "time": 0.1}], damage="x" * n)
        for n in (2, 0, 1)
    }
    with Journal(tmp_path / "out", "inputs") as journal:
        for number, one in done.items():
            journal.add(number, one)
        assert list(journal) == [done[0], done[1], done[2]]
        assert (len(journal), 2 in journal, 3 in journal) == (3, True, False)


# Files, which are worked on in child processes


def picture(path: Path, value: int) -> Path:
    image = np.full((32, 32, 3), value, np.uint8)
    image[::2, ::3] = 255 - image[::2, ::3]
    Image.fromarray(image).save(path)
    return path


def crashing() -> Any:
    """Return an extractor that crashes at one value, hangs at another, and is local."""
    points = np.asarray(TEMPLATE, dtype=np.float32) * 20 + 6

    class Crashing:
        threshold = 0.5

        def __call__(self, image: np.ndarray, /) -> list[Face]:
            value = int(image[1, 1, 0])
            if value == 13:
                os.kill(os.getpid(), signal.SIGSEGV)
            if value == 17:
                time.sleep(600)
            return [Face(box=(6, 6, 26, 26), landmarks=points, confidence=0.75)]

    return Crashing()


@pytest.mark.parametrize("workers", [None, pytest.param(2, marks=pytest.mark.slow)])
def test_a_file_that_crashes_or_hangs_costs_its_own_row(
    tmp_path: Path, workers: int | None
) -> None:
    root = tmp_path / "in"
    root.mkdir()
    for value in (10, 13, 15, 17, 20):
        picture(root / f"{value}.png", value)
    out = tmp_path / "out"
    made = extract(root, out, extractor=crashing(), time_limit=4, workers=workers)
    reasons = dict(zip(made.table["video"], made.table["reason"], strict=True))
    assert reasons.pop("13.png") == (
        "the file crashes what decodes it: its process was ended by signal SIGSEGV; copy or "
        "export it again."
    )
    assert reasons.pop("17.png") == (
        "the file took longer than 4 s to decode and to search for faces, and was given up; allow "
        "it more time, or copy or export it again."
    )
    assert set(reasons.values()) == {""}
    assert list(made.meta["problems"]) == ["in/13.png", "in/17.png"]
    assert len(made.faces()) == 3


def test_an_extractor_that_cannot_be_sent_needs_no_limit(tmp_path: Path) -> None:
    class Here:
        threshold = 0.5

        def __init__(self) -> None:
            self.lock = threading.Lock()

        def __call__(self, image: np.ndarray, /) -> list[Face]:
            return faces(image)

    file = picture(tmp_path / "a.png", 3)
    with pytest.raises(
        InvalidArgument, match=r"face extractor cannot be sent .*; give the extractor's name"
    ):
        extract(file, tmp_path / "out", extractor=Here())
    assert len(extract(file, tmp_path / "out", extractor=Here(), time_limit=None).faces()) == 1


@pytest.mark.parametrize("limit", [0, -1, float("nan")])
def test_a_limit_that_is_no_time_is_refused(tmp_path: Path, limit: float) -> None:
    with pytest.raises(InvalidArgument, match="more than 0 s, or None"):
        extract(clips(), tmp_path / "out", extractor=Always(), time_limit=limit)


# Processes that are killed

SCRIPT = """
import sys
from pathlib import Path
import numpy as np
import gendkit as gk
from gendkit.data.faces import TEMPLATE
from gendkit.plugin.protocols import Face

class Slow:
    threshold = 0.5
    def __call__(self, image):
        import time
        time.sleep(0.05)
        points = np.asarray(TEMPLATE, dtype=np.float32) * 20 + 6
        return [Face(box=(6, 6, 26, 26), landmarks=points, confidence=0.75)]
    def __reduce__(self):
        return Slow, ()

def progress(done, total, text):
    print(done, flush=True)

gk.extract(sys.argv[1], sys.argv[2], extractor=Slow(), progress=progress)
"""


@pytest.mark.slow
def test_a_run_that_is_killed_at_any_moment_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    root, script = tmp_path / "in", tmp_path / "script.py"
    root.mkdir()
    for value in range(24):
        picture(root / f"{value:02d}.png", value)
    script.write_text(SCRIPT)

    def run(out: str, *, kill_at: int | None = None) -> list[int]:
        told = []
        with subprocess.Popen(
            [sys.executable, str(script), str(root), str(tmp_path / out)],
            stdout=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            for line in process.stdout:
                told.append(int(line))
                if told[-1] == kill_at:
                    process.kill()
        return told

    assert run("whole") == list(range(1, 25))
    done = 0
    for kill_at in (1, 7, 16):
        told = run("out", kill_at=kill_at)
        assert told[0] == done + 1, "only clips that were in flight are done again"
        assert not (tmp_path / "out").exists()
        journal = tmp_path / ".out-extraction" / "journal.jsonl"
        done = len([json.loads(line) for line in journal.read_bytes().splitlines()])
        assert done >= kill_at
    assert run("out") == list(range(done + 1, 25))
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "whole")
    assert run("out") == []


@pytest.mark.slow
def test_a_worker_that_is_killed_leaves_the_same_folder(
    tmp_path: Path, asset: Callable[[str], Path], shared: Path, workers: Any
) -> None:
    asset("centerface")
    root = tmp_path / "in"
    root.mkdir()
    for portrait in sorted((shared / "portraits").glob("*.jpg"))[:12]:
        (root / portrait.name).symlink_to(portrait)
    here = extract(root, tmp_path / "here")
    found = extract(root, tmp_path / "cluster", scheduler=workers.scheduler, progress=workers)
    assert len(workers.killed) == 1
    assert len(found.faces()) == len(here.faces()) >= 10
    assert bytes_of(tmp_path / "cluster") == bytes_of(tmp_path / "here")


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_clips(tmp_path: Path) -> None:
    """What is held while clips are worked on is that of those in flight."""
    import tracemalloc

    peaks = {}
    for count in (100, 1600):
        source = clips(count)
        tracemalloc.start()
        extract(source, tmp_path / f"{count}", extractor=Always())
        peaks[count] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    made = Manifest.read(tmp_path / "1600")
    rows = int(made.table.memory_usage(deep=True).sum())
    assert len(made) == 3200
    assert peaks[1600] - peaks[100] < 4 * rows, "no more than the table that is returned"


def test_no_face_at_all_leaves_nothing(tmp_path: Path) -> None:
    class Never:
        threshold = 0.5

        def __call__(self, image: np.ndarray, /) -> list[Face]:
            return []

    with pytest.raises(NotExamined):
        extract(clips(), tmp_path / "out", extractor=Never())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_pair_that_takes_too_long_blames_neither_and_names_no_place(tmp_path: Path) -> None:
    class Endless(Always):
        def __call__(self, image: np.ndarray, /) -> list[Face]:
            time.sleep(600)
            return []

        def __reduce__(self) -> tuple[type, tuple[()]]:
            return Endless, ()

    picture(tmp_path / "a.png", 1)
    about: dict[str, Any] = {"media": tmp_path / "a.png", "dataset": "set", "pair": "p"}
    fake = Clip(video="fake", label=1, method="swap", **about)
    masked = replace(
        fake, video="masked", label=-1, media=MaskedVideo(video=about["media"], masks=tmp_path)
    )
    source = [Clip(video="real", label=0, **about), fake, masked]
    known = Frame(
        index=0, time=0.0, image=np.full((32, 32, 3), 99, np.uint8),
        landmarks=np.asarray(TEMPLATE, dtype=np.float32) * 20 + 6,
    )  # fmt: skip
    seen = Clip(video="seen", media=lambda: iter([known]), dataset="set", label=0)
    made = extract(
        [*source, seen], tmp_path / "out", extractor=Endless(), crop="pair", time_limit=1
    )
    told = made.meta["problems"]
    assert told["set/real"].startswith("the file took longer than 1 s to decode and to search")
    assert told["set/fake"].startswith("the file, or its real clip real, took longer than 1 s")
    assert str(tmp_path) not in json.dumps(told)


def test_an_extractor_with_other_weights_is_another_one(tmp_path: Path) -> None:
    file = tmp_path / "weights.onnx"
    spec = FaceExtractorSpec(
        name="brought", summary="for tests", licence="none", threshold=0.5,
        build=lambda **options: Always(), weights=lambda: file,
    )  # fmt: skip
    out, media = tmp_path / "out", picture(tmp_path / "a.png", 3)
    with registered(spec):
        file.write_bytes(b"one")
        first = extract(media, out, extractor="brought", time_limit=None)
        assert first.meta["extractor_weights"] == hashlib.sha256(b"one").hexdigest()
        extract(media, out, extractor="brought", time_limit=None)
        file.write_bytes(b"two")
        with pytest.raises(OutputExists, match="--overwrite"):
            extract(media, out, extractor="brought", time_limit=None)


def test_folders_of_crops_are_no_media(tmp_path: Path) -> None:
    root = tmp_path / "in"
    root.mkdir()
    picture(root / "a.png", 3)
    first = extract(root, root / "crops", extractor=Always(), time_limit=None)
    again = extract(root, root / "crops", extractor=Always(), time_limit=None)
    assert len(first) == len(again) == 1
    assert [clip.video for clip in clips_of(root)] == ["a.png"]
    assert len(clips_of(root / "crops")) == 1, "unless they are asked for"

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gendkit import processes
from gendkit.errors import InvalidArgument, UnreadableMedia, WorkerLost
from gendkit.processes import Apart, Unsendable, check_workers, in_turn


def test_ranks_on_one_machine_share_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert processes.cores() == 8
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    assert processes.cores() == 2
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "16")
    assert processes.cores() == 1


def test_workers_are_counted_or_those_of_a_scheduler_never_both() -> None:
    check_workers(None, None)
    check_workers(1, None)
    check_workers(None, "tcp://127.0.0.1:1")
    with pytest.raises(InvalidArgument, match="workers is 0, expected 1 or more"):
        check_workers(0, None)
    with pytest.raises(InvalidArgument, match="give one"):
        check_workers(2, "tcp://127.0.0.1:1")


def test_a_call_apart_gives_its_value_or_its_error_from_another_process() -> None:
    def here() -> int:
        return os.getpid()

    def fails() -> None:
        raise UnreadableMedia("no luck")

    with Apart(1) as apart:
        child = apart.run(here, limit=60)
        assert child != os.getpid()
        with pytest.raises(UnreadableMedia, match=r"^no luck$"):
            apart.run(fails, limit=60)
        assert apart.run(here, limit=60) == child


def test_a_call_that_crashes_or_takes_too_long_takes_no_other_with_it() -> None:
    def crash() -> None:
        os.kill(os.getpid(), signal.SIGSEGV)

    def leave() -> None:
        os._exit(7)

    def slow(seconds: float) -> str:
        time.sleep(seconds)
        return "done"

    with Apart(2) as apart, ThreadPoolExecutor(1) as pool:
        beside = pool.submit(apart.run, slow, 3.0, limit=60)
        with pytest.raises(WorkerLost, match="was ended by signal SIGSEGV"):
            apart.run(crash, limit=60)
        with pytest.raises(WorkerLost, match="was ended by exit code 7"):
            apart.run(leave, limit=60)
        begun = time.monotonic()
        with pytest.raises(TimeoutError):
            apart.run(slow, 60.0, limit=0.5)
        assert time.monotonic() - begun < 30
        assert beside.result() == "done"
        assert apart.run(slow, 0.0, limit=60) == "done"


def test_closing_ends_the_calls_that_wait() -> None:
    with Apart(1) as apart, ThreadPoolExecutor(2) as pool:
        assert apart.run(os.getpid, limit=60) != os.getpid()
        waiting = [pool.submit(apart.run, time.sleep, 600, limit=600) for _ in range(2)]
        assert _within(60, lambda: len(apart._waiting) == 2)
        apart.close()
        for future in waiting:
            with pytest.raises(WorkerLost, match="together with all others"):
                future.result(timeout=60)
        with pytest.raises(WorkerLost, match="together with all others"):
            apart.run(os.getpid, limit=60)


def test_what_cannot_be_sent_is_told_and_harms_nothing() -> None:
    class Stuck:
        def __init__(self, *, there: bool) -> None:
            self.there = there

        def __reduce__(self) -> tuple[object, ...]:
            if self.there:
                return int, ("no number",)
            raise TypeError("never\nat all")

    with Apart(1) as apart:
        for there, words in ((False, "process: never"), (True, "process: invalid literal")):
            with pytest.raises(Unsendable, match=words):
                apart.run(str, Stuck(there=there), limit=60)
        assert apart.run(str, 1, limit=60) == "1"


def test_tasks_are_begun_as_others_are_done() -> None:
    begun: list[int] = []
    gate = threading.Semaphore(0)

    def work(task: int) -> int:
        gate.acquire(timeout=60)
        return task * task

    def submit(task: int) -> object:
        begun.append(task)
        return pool.submit(work, task)

    with ThreadPoolExecutor(2) as pool:
        found = in_turn(submit, iter(range(6)), width=2)  # type: ignore[arg-type, var-annotated]
        results = []
        for number in range(6):
            gate.release()
            results.append(next(found))
            assert len(begun) <= 2 + number
    assert sorted(results) == [(n, n * n) for n in range(6)]


SCRIPT = """
import os, sys, time
from gendkit.processes import Apart

def sleep(file):  # defined in a script without a guard
    open(file, "w").write(str(os.getpid()))
    time.sleep(600)

print("begun", flush=True)
Apart(1).run(sleep, sys.argv[1], limit=600)
"""


def test_a_child_ends_with_its_parent_and_a_script_is_not_run_again(tmp_path: Path) -> None:
    script, file = tmp_path / "script.py", tmp_path / "pid"
    script.write_text(textwrap.dedent(SCRIPT))
    with subprocess.Popen(
        [sys.executable, str(script), str(file)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert _within(60, lambda: file.exists() and bool(file.read_text()))
        child = int(file.read_text())
        parent.kill()
        assert parent.stdout is not None
        assert parent.stdout.read().split() == ["begun"]
    assert _within(60, lambda: not _runs(child))


SHARED = """
from gendkit.processes import shared_out

def square(task):  # defined in a script without a guard
    return task * task

print("begun", flush=True)
done = shared_out(square, range(5), workers=1, scheduler=None, lost=str)
print(sum(result for _, result in done), __file__)
"""


@pytest.mark.slow
def test_workers_do_not_run_the_script_again(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    script = tmp_path / "script.py"
    script.write_text(SHARED)
    ran = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=True, timeout=120
    )
    assert ran.stdout.split() == ["begun", "30", str(script)]


def _within(seconds: float, true: object) -> bool:
    end = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        if time.monotonic() > end:
            return False
        threading.Event().wait(0.05)
    return True


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"

"""The command line as a whole: help, exit codes, and what goes to stderr."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from gendkit.cli import COMMANDS, main
from gendkit.cli import gendkit as group
from gendkit.errors import GendkitError

Run = Callable[..., Any]
HEAVY = {"torch", "pandas", "xarray", "numpy", "cv2", "faiss", "numba", "matplotlib", "pydantic"}
RUN = "import sys; from gendkit.cli import main; sys.exit(main())"


def all_commands() -> list[tuple[str, ...]]:
    """Return the words of every command and subcommand."""
    found: list[tuple[str, ...]] = [()]
    for name in COMMANDS:
        found.append((name,))
        command = group.get_command(click.Context(group), name)
        if isinstance(command, click.Group):
            found += [(name, sub) for sub in command.commands]
    return found


@pytest.mark.parametrize("words", all_commands(), ids=lambda w: " ".join(w) or "gendkit")
def test_help_has_an_example_and_imports_nothing_heavy(
    words: tuple[str, ...], record_property: Callable[[str, Any], None]
):
    code = (
        "import sys; from gendkit.cli import main; code = main(sys.argv[1:]);"
        "print('MODULES', *{m.split('.')[0] for m in sys.modules}); sys.exit(code)"
    )
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, *words, "--help"], capture_output=True, text=True
    )
    record_property("seconds", round(time.perf_counter() - start, 3))
    text, _, modules = done.stdout.partition("MODULES")
    assert done.returncode == 0
    assert done.stderr == ""
    assert f"Example: gendkit {' '.join(words)}" in text
    assert not HEAVY & set(modules.split())


def test_every_argument_and_option_of_every_command_is_explained():
    for words in all_commands():
        command: click.Command = group
        for word in words:
            assert isinstance(command, click.Group)
            found = command.get_command(click.Context(command), word)
            assert found is not None
            command = found
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{' '.join(words)}: {parameter.name}"


def test_no_arguments_and_unknown_commands_are_wrong_usage(gendkit: Run):
    nothing = gendkit()
    assert nothing.code == 2
    assert "Usage: gendkit" in nothing.err
    unknown = gendkit("detct")
    assert unknown.code == 2
    assert unknown.complaints == unknown.err.splitlines()
    assert "No such command 'detct'" in unknown.err


def test_the_version_is_that_of_the_package(gendkit: Run):
    from gendkit import __version__

    said = gendkit("--version")
    assert (said.code, said.out.split()[-1]) == (0, __version__)


def fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    from gendkit.data import assets

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(assets, "cached_path", fail)


def test_an_error_of_gendkits_is_one_line_and_code_1(gendkit: Run, monkeypatch: pytest.MonkeyPatch):
    fail_with(monkeypatch, GendkitError("first\nsecond \x1b[31m"))
    said = gendkit("assets", "path", "carphone")
    assert (said.code, said.out) == (1, "")
    assert said.err == "gendkit: error: first second ?[31m\n"


@pytest.mark.parametrize("kind", [ZeroDivisionError, SystemExit])
def test_an_unforeseen_error_keeps_its_traceback_without_control_characters(
    kind: type[BaseException], gendkit: Run, monkeypatch: pytest.MonkeyPatch
):
    fail_with(monkeypatch, kind("a bug\x1b[31m\r\u202e"))
    said = gendkit("assets", "path", "carphone")
    assert said.code == 1
    assert said.err.startswith("Traceback (most recent call last):\n")
    assert f"{kind.__name__}: a bug\\x1b[31m\\r\\u202e\n" in said.err


def test_an_interrupt_is_code_130(gendkit: Run, monkeypatch: pytest.MonkeyPatch):
    fail_with(monkeypatch, KeyboardInterrupt())
    said = gendkit("assets", "path", "carphone")
    assert said.code == 130
    assert said.complaints == ["gendkit: error: interrupted."]
    assert "Traceback" not in said.err


def test_a_file_that_may_not_be_read_is_one_line(gendkit: Run, monkeypatch: pytest.MonkeyPatch):
    fail_with(monkeypatch, PermissionError(13, "Permission denied", "/secret"))
    said = gendkit("assets", "path", "carphone")
    assert said.code == 1
    assert said.err == "gendkit: error: /secret: permission denied.\n"


def test_a_reader_that_goes_away_is_no_error_to_talk_about():
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-c", RUN, "plugins", "list", "--json"],
        stdout=write, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    os.close(write)
    assert done.returncode == 1
    assert done.stderr == ""


def test_ctrl_c_during_work_ends_with_130_and_leaves_nothing_half_written(tmp_path: Path):
    # A shell's background job, such as a CI's, is started with interrupts ignored.
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
    command = [sys.executable, "-c", heed + RUN, "extract", "synthetic", str(tmp_path / "out")]
    process = subprocess.Popen(
        [*command, "-o", "identities=40", "-o", "controls=false"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        limit = time.monotonic() + 60
        journal = tmp_path / ".out-extraction" / "journal.jsonl"
        while not (journal.exists() and journal.stat().st_size) and process.poll() is None:
            assert time.monotonic() < limit, "the command did not begin to write"
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.02)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert "gendkit: error: interrupted." in err
    assert "clips are done; the same call goes on with the others" in err
    assert "Traceback" not in err
    assert [p.name for p in tmp_path.iterdir()] == [".out-extraction"]


def test_warnings_of_gendkit_are_told_and_those_of_others_are_not(gendkit: Run):
    gendkit("assets", "list")
    logging.getLogger("gendkit.somewhere").warning("look here")
    logging.getLogger("gendkit.somewhere").info("not so loud")
    logging.getLogger("huggingface_hub.utils").warning("retrying")
    stream = logging.getLogger().handlers[0]
    assert isinstance(stream, logging.StreamHandler)
    own, other = logging.getLogger("gendkit.x"), logging.getLogger("huggingface_hub.x")
    assert own.isEnabledFor(logging.WARNING)
    assert not own.isEnabledFor(logging.INFO)
    assert not other.isEnabledFor(logging.WARNING)
    assert other.isEnabledFor(logging.ERROR)


def test_verbose_tells_what_is_being_done(gendkit: Run):
    gendkit("-v", "assets", "list")
    own, other = logging.getLogger("gendkit.x"), logging.getLogger("huggingface_hub.x")
    assert own.isEnabledFor(logging.INFO)
    assert other.isEnabledFor(logging.WARNING)


def test_a_log_line_goes_to_stderr_with_its_level(gendkit: Run, capfd: pytest.CaptureFixture[str]):
    code = (
        "import logging, warnings; from gendkit.cli import main; main(['assets', 'list']);"
        "logging.getLogger('gendkit.data').warning('look here'); warnings.warn('not you');"
        "logging.getLogger('gendkit_x.part').warning('a plugin'); "
        "logging.getLogger('urllib3').error('nor you')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "gendkit: warning: look here\ngendkit: warning: a plugin\n"


def test_main_leaves_the_warning_filters_of_a_developer_alone(
    gendkit: Run, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys, "warnoptions", ["error"])
    before = list(warnings.filters)
    gendkit("assets", "list")
    assert list(warnings.filters) == before


def test_the_entry_point_is_main():
    from importlib import metadata

    (entry,) = metadata.entry_points(group="console_scripts", name="gendkit")
    assert entry.load() is main


def test_json_is_one_document_without_numbers_that_are_not_finite(
    capfd: pytest.CaptureFixture[str],
):
    from gendkit.cli.show import show_json

    show_json({"a": float("nan"), "b": [float("inf"), 1.5], "c": {"d": (None, "é")}})
    text = capfd.readouterr().out
    assert json.loads(text) == {"a": None, "b": [None, 1.5], "c": {"d": [None, "é"]}}
    assert "é" in text


def test_tables_are_aligned_also_with_wide_characters(capfd: pytest.CaptureFixture[str]):
    from gendkit.cli.show import show_table

    show_table([("顔", 1), ("e\u0301", None), ("abc", 22)], ("file", "n"), right=("n",))
    assert capfd.readouterr().out.splitlines() == [
        "file   n",
        "顔     1",
        "e\u0301      -",
        "abc   22",
    ]

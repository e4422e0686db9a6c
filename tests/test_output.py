"""Output folders appear whole or not at all, and never over something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from gendkit.errors import OutputExists, UnwritableOutput
from gendkit.output import new_folder

MARKER = "run.json"


def write(path: Path, text: str, *, overwrite: bool = False) -> None:
    with new_folder(path, overwrite=overwrite, marker=MARKER) as folder:
        (folder / MARKER).write_text(text)


def fail(path: Path, error: BaseException, *, overwrite: bool) -> None:
    with new_folder(path, overwrite=overwrite, marker=MARKER) as folder:
        (folder / MARKER).write_text("half")
        raise error


def test_a_folder_appears_when_it_is_complete(tmp_path: Path):
    out = tmp_path / "deep" / "out"
    with new_folder(out, overwrite=False, marker=MARKER) as folder:
        (folder / MARKER).write_text("one")
        assert not out.exists()
    assert (out / MARKER).read_text() == "one"
    assert [p.name for p in out.parent.iterdir()] == ["out"]
    reference = tmp_path / "reference"
    reference.mkdir()
    assert out.stat().st_mode == reference.stat().st_mode


def test_an_interrupted_output_leaves_nothing_and_keeps_the_earlier_one(tmp_path: Path):
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        fail(out, KeyboardInterrupt(), overwrite=False)
    assert list(tmp_path.iterdir()) == []
    write(out, "whole")
    with pytest.raises(ValueError, match="stop"):
        fail(out, ValueError("stop"), overwrite=True)
    assert (out / MARKER).read_text() == "whole"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_an_earlier_run_is_replaced_only_when_told(tmp_path: Path):
    out = tmp_path / "out"
    write(out, "one")
    (out / "old.txt").write_text("of the first run")
    with pytest.raises(OutputExists, match=r"already holds a run.*--overwrite"):
        write(out, "two")
    write(out, "two", overwrite=True)
    assert [p.name for p in out.iterdir()] == [MARKER]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_refusal_comes_before_any_work(tmp_path: Path):
    write(tmp_path / "out", "one")
    with pytest.raises(OutputExists):
        new_folder(tmp_path / "out", overwrite=False, marker=MARKER)


@pytest.mark.parametrize("overwrite", [False, True])
def test_other_files_are_never_replaced(tmp_path: Path, overwrite: bool):
    (tmp_path / "thesis.txt").write_text("four years")
    with pytest.raises(OutputExists, match="holds other files and is never replaced"):
        new_folder(tmp_path, overwrite=overwrite, marker=MARKER)
    with pytest.raises(OutputExists, match="is a file"):
        new_folder(tmp_path / "thesis.txt", overwrite=overwrite, marker=MARKER)


def test_an_empty_folder_may_be_used_even_through_a_link(tmp_path: Path):
    real = tmp_path / "real"
    real.mkdir()
    link = tmp_path / "link"
    link.symlink_to(real)
    write(link, "one")
    assert link.is_symlink()
    assert (real / MARKER).read_text() == "one"


def test_the_place_is_that_of_the_check_wherever_the_process_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    target = new_folder("out", overwrite=False, marker=MARKER)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with target as folder:
        (folder / MARKER).write_text("one")
    assert (tmp_path / "out" / MARKER).exists()


def test_a_folder_below_a_file_is_refused_before_any_work(tmp_path: Path):
    (tmp_path / "file.txt").write_text("four years")
    for out in (tmp_path / "file.txt" / "out", tmp_path / "file.txt" / "deep" / "out"):
        with pytest.raises(UnwritableOutput, match=r"file\.txt is a file; give another place"):
            new_folder(out, overwrite=False, marker=MARKER)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="a file system that cannot be written")
def test_a_folder_that_the_system_does_not_make_is_one_error():
    folder = new_folder("/proc/gendkit-out", overwrite=False, marker=MARKER)
    with pytest.raises(UnwritableOutput, match="/proc/gendkit-out cannot be made"), folder:
        raise AssertionError("the block must not be entered")

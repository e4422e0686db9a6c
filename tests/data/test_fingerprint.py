from __future__ import annotations

import functools
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gendkit.data.extractors import prepared
from gendkit.data.fingerprint import fingerprint

SCRIPT = """
import abc, dataclasses, enum
from gendkit.data.fingerprint import fingerprint

{above}
REACH = {reach}

class Kind(enum.Enum):
    A = 1

@dataclasses.dataclass
class Mine(abc.ABC):
    side: int = 3

    def __call__(self, image):
        return [REACH, Kind.A] if image in {{"a", "b", "c", "d"}} else [n for n in image]

print(fingerprint([Mine(), lambda: Mine()]).hex())
"""


def test_code_of_a_script_is_the_same_in_another_process_until_it_is_edited(
    tmp_path: Path,
) -> None:
    def of(name: str, **edits: object) -> str:
        script = tmp_path / name
        script.write_text(SCRIPT.format(**{"above": "", "reach": 1, **edits}))
        return subprocess.run(
            [sys.executable, str(script)], capture_output=True, text=True, check=True
        ).stdout

    first = of("one.py")
    assert first == of("one.py")
    assert first == of("one.py", above="# where it stands is no part of it")
    assert first != of("one.py", reach=2)


def test_an_imported_function_counts_with_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "mine_of_this_test.py"
    module.write_text("def render(n):\n    return n\n")
    monkeypatch.syspath_prepend(tmp_path)
    import mine_of_this_test

    render = mine_of_this_test.render
    assert fingerprint(functools.partial(render, 1)) != fingerprint(functools.partial(render, 2))
    before = fingerprint(render)
    assert before == fingerprint(render)
    module.write_text("def render(n):\n    return n + 1\n")
    assert before != fingerprint(render)


def test_extractors_by_name_differ() -> None:
    names = ("centerface", "whole-frame", "yunet")
    assert len({fingerprint(prepared(name)[0]) for name in names}) == len(names)


def test_what_cannot_be_pickled_has_none() -> None:
    with pytest.raises(TypeError):
        fingerprint(threading.Lock())

"""Our own JavaScript: it asks nobody outside for anything, and writes no markup."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import gendkit.notebook

SCRIPTS = sorted(Path(gendkit.notebook.__file__).parent.glob("*.js"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.name)
def test_a_script_asks_nobody_outside_and_writes_no_markup(path: Path):
    source = path.read_text(encoding="utf-8")
    assert not re.search(r"https?:|\bimport\b|\bfetch\b|XMLHttpRequest|\beval\b", source)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write", source)
    assert path.with_suffix(".py").is_file()


def test_a_style_of_ours_reaches_nothing_outside_its_frame():
    (style,) = re.findall(r"const STYLE = `(.*?)`", Path(SCRIPTS[0]).read_text("utf-8"), re.S)
    rules = re.findall(r"([^{}]+)\{", style)
    assert rules
    assert all(rule.strip().startswith(".gendkit-chart") for rule in rules)

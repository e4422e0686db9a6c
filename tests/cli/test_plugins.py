"""`gendkit plugins list`: parts, their licences and where they come from."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import gendkit as library
from gendkit.plugin import plugins
from gendkit.plugin.parts import Broken, Source

Run = Callable[..., Any]


def test_the_list_shows_kind_name_licence_source_and_summary(gendkit: Run):
    said = gendkit("plugins", "list")
    assert said.code == 0
    assert said.err == ""
    rows = said.out.splitlines()
    assert rows[0].split() == ["kind", "name", "licence", "from", "summary"]
    row = next(r for r in rows if "dinov2-vits14" in r)
    assert f"Apache-2.0  gendkit {library.__version__}" in " ".join(row.split()).replace(
        "Apache-2.0 ", "Apache-2.0  "
    )
    assert len(rows) == 1 + len(plugins().parts) + len(plugins().listeners)


def test_the_list_as_json_has_what_each_part_declares(gendkit: Run):
    found = json.loads(gendkit("plugins", "list", "--json").out)
    assert found["broken"] == []
    part = next(p for p in found["parts"] if p["name"] == "dinov2-vits14")
    assert part["kind"] == "backbone"
    assert part["dim"] == 384
    assert part["image_size"] == 224
    assert part["distribution"] == "gendkit"
    assert part["version"] == library.__version__
    for part in found["parts"]:
        assert part["summary"]
        assert part["kind"] == "loss" or part["licence"]


def test_the_list_imports_neither_torch_nor_xarray():
    code = (
        "import sys; from gendkit.cli import main; code = main(['plugins', 'list']);"
        "print(*{'torch', 'xarray', 'pandas', 'numpy'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == ""
    assert "centerface" in done.stdout


@pytest.fixture
def broken() -> Any:
    plugins.cache_clear()
    source = Source(plugin="gendkit-bad", distribution="gendkit-bad\x1b[2J", version="1")
    plugins()._broken.append(Broken(source=source, reason="ImportError: no module x"))
    yield
    plugins.cache_clear()


def test_a_plugin_that_was_set_aside_is_listed_with_its_reason(gendkit: Run, broken: None):
    said = gendkit("plugins", "list")
    assert said.code == 0
    assert said.err == "set aside: gendkit-bad (gendkit-bad?[2J 1): ImportError: no module x\n"
    (record,) = json.loads(gendkit("plugins", "list", "--json").out)["broken"]
    assert record["reason"] == "ImportError: no module x"


def test_the_remedy_of_a_plugin_that_was_set_aside_stands_beside_the_reason(gendkit: Run):
    plugins.cache_clear()
    source = Source(plugin="bad", distribution="gendkit-bad", version="1")
    remedy = 'run: python -m pip install "x\x1b[2J"'
    plugins()._broken.append(Broken(source=source, reason="ImportError: x", remedy=remedy))
    try:
        said = gendkit("plugins", "list")
        (record,) = json.loads(gendkit("plugins", "list", "--json").out)["broken"]
    finally:
        plugins.cache_clear()
    assert said.err == (
        'set aside: bad (gendkit-bad 1): ImportError: x; run: python -m pip install "x?[2J"\n'
    )
    assert record["remedy"] == remedy


def test_what_is_left_out_is_listed_and_a_name_that_leaves_nothing_out(
    gendkit: Run, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("GENDKIT_BLOCK_PLUGINS", "gendkit.builtin,gendkit.buildin\x1b[2J")
    plugins.cache_clear()
    try:
        said = gendkit("plugins", "list")
        found = json.loads(gendkit("plugins", "list", "--json").out)
    finally:
        plugins.cache_clear()
    assert said.code == 0
    first, second = said.err.splitlines()
    version = library.__version__
    assert first == (f"left out: gendkit.builtin (gendkit {version}): by GENDKIT_BLOCK_PLUGINS")
    assert second.startswith(
        "left out: nothing by 'gendkit.buildin\\x1b[2J' in GENDKIT_BLOCK_PLUGINS; there is "
    )
    assert second.endswith("gendkit.builtin")
    assert found["blocked"] == [
        {
            "plugin": "gendkit.builtin",
            "by": "GENDKIT_BLOCK_PLUGINS",
            "distribution": "gendkit",
            "version": version,
        },
        {
            "plugin": "gendkit.buildin\x1b[2J",
            "by": "GENDKIT_BLOCK_PLUGINS",
            "distribution": None,
            "version": None,
        },
    ]


def test_a_wrong_value_of_the_trace_ends_the_command_in_one_line(
    gendkit: Run, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("GENDKIT_TRACE_HOOKS", "loud")
    plugins.cache_clear()
    said = gendkit("plugins", "list")
    assert said.code == 1
    assert said.err.startswith("gendkit: error: GENDKIT_TRACE_HOOKS is 'loud'")


def test_the_help_names_both_variables(gendkit: Run):
    said = gendkit("plugins", "list", "--help").out
    assert "GENDKIT_BLOCK_PLUGINS" in said
    assert "GENDKIT_TRACE_HOOKS=1" in said


def test_the_hooks_are_printed_as_markdown_and_as_a_table(gendkit: Run):
    from gendkit.plugin.documentation import reference, table

    assert gendkit("plugins", "hooks").out == reference()
    assert gendkit("plugins", "hooks", "--table").out == table()


def test_a_misspelt_hook_ends_the_command_in_one_line(tmp_path: Path):
    (tmp_path / "typo.py").write_text(
        "from gendkit.plugin import hookimpl\n@hookimpl\ndef gendkit_dataset(): return []\n"
    )
    info = tmp_path / "gendkit_typo-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: gendkit-typo\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[gendkit]\ntypo = typo\n")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from gendkit.cli import main;"
        "sys.exit(main(['plugins', 'list']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert "gendkit_dataset; was gendkit_datasets meant? To leave the plugin out" in line

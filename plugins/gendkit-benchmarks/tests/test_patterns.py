"""Patterns with named parts."""

from __future__ import annotations

from pathlib import Path

import pytest

from gendkit_benchmarks.patterns import compiled, filled, walk


@pytest.mark.parametrize(
    ("pattern", "name", "parts"),
    [
        ("a/{x}_{y}", "a/1_2", {"x": "1", "y": "2"}),
        ("a/{x}_{y}", "a/1_2_3", None),
        ("a/{x}", "b/a/1", None),
        ("**/a/{x}", "b/c/a/1", {"x": "1"}),
        ("**/a/{x}", "a/1", {"x": "1"}),
        ("a/**/{x}", "a/1", {"x": "1"}),
        ("a/**/{x}", "ab/1", None),
        ("a/*/{x}", "a/b c/1", {"x": "1"}),
        ("a/*/{x}", "a/b/c/1", None),
        ("{x}/{x}_{y}", "es/es_1", {"x": "es", "y": "1"}),
        ("{x}/{x}_{y}", "es/ru_1", None),
        ("a.b/{n}", "acb/1", None),
        ("a/**", "a/b/c.mp4", {}),
        ("A/{x}", "a/1", None),
    ],
)  # fmt: skip
def test_a_pattern_fits_a_whole_path_or_not(pattern, name, parts):
    match = compiled(pattern, {}).fullmatch(name)
    assert (match.groupdict() if match else None) == parts


def test_a_part_may_be_given_as_a_regular_expression():
    expression = compiled("{who}_{n}", {"who": "id[0-9]+(_x)?"})
    assert expression.fullmatch("id1_x_7").groupdict() == {"who": "id1_x", "n": "7"}
    assert compiled("A/{n}", {}, capitals=False).fullmatch("a/7")


def test_a_template_with_a_part_that_is_not_known_is_empty():
    assert filled("real/{x}_{y}", {"x": "1", "y": "2"}) == "real/1_2"
    assert filled("real/{x}_{y}", {"x": "1"}) == ""
    assert filled("real/{x}", {"x": ""}) == ""
    assert filled("", {"x": "1"}) == ""


def test_files_come_sorted_without_a_suffix_and_hidden_ones_not_at_all(tree):
    root = tree("b.mp4", "a/2.mp4", "a/10.tar.gz", ".hidden/c.mp4", "a/.d.mp4", "e/f/1.png")
    names = [entry.name for entry in walk(root, is_clip=lambda path, name: name == "e/f")]
    assert names == ["a/10.tar", "a/2", "b", "e/f"]


def test_a_link_to_a_folder_is_followed_but_never_round_in_a_circle(tree):
    root = tree("a/1.mp4", "b/2.mp4")
    (root / "a" / "up").symlink_to(root)
    (root / "a" / "beside").symlink_to(root / "b")
    names = [entry.name for entry in walk(root, is_clip=lambda *_: False)]
    assert names == ["a/1", "a/beside/2", "b/2"]


def test_a_folder_that_cannot_be_read_is_an_entry_and_no_crash(tree, monkeypatch):
    root = tree("a/1.mp4", "b/2.mp4")
    listed = Path.iterdir

    def iterdir(self):
        if self.name == "a":
            raise PermissionError(13, "Permission denied")
        return listed(self)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    assert [entry.name for entry in walk(root, is_clip=lambda *_: False)] == ["a", "b/2"]

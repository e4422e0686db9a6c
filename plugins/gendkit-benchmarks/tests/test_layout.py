"""The rows of the table, and files of users that correct or add one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from gendkit.errors import InvalidOption, MissingMedia
from gendkit_benchmarks.layout import Layout, layout_of
from gendkit_benchmarks.rows import rows

README = Path(__file__).parents[1] / "README.md"


@pytest.fixture
def file(tmp_path: Path):
    """Write a layout file."""

    def write(text: str) -> Path:
        path = tmp_path / "mine.yaml"
        path.write_text(text, "utf-8")
        return path

    return write


@pytest.mark.parametrize("name", list(rows()))
def test_a_row_states_all_that_is_to_be_known_of_a_dataset(name):
    layout = layout_of(name)
    assert layout.homepage
    assert layout.access
    assert layout.source
    assert layout.year
    assert layout.verified == (not layout.unsure)
    assert layout.verified or "verified=False" in layout.summary
    assert any(group.label == "real" for group in layout.groups.values())
    for group in layout.groups.values():
        assert bool(group.family) == (group.label == "fake")


def test_a_correction_goes_over_the_row_field_by_field(file, tree, clips):
    root = tree("REAL/a.mp4", "fake/a_fake.mp4")
    path = file("uadfv: {groups: {real: {paths: ['REAL/{video}'], expected: 1}}, year: 2019}")
    found = clips("uadfv", root, layout=path)
    assert list(found) == ["real/a", "fake/a_fake"]
    assert found["fake/a_fake"].pair == "real/a"
    assert {clip.year for clip in found.values()} == {2019}
    layout, before = layout_of("uadfv", path), layout_of("uadfv")
    assert layout.groups["fake"] == before.groups["fake"]
    assert layout.groups["real"].expected == 1


def test_nothing_in_a_correction_takes_a_field_away(file):
    layout = layout_of("ffiw", file("ffiw: {splits: null, groups: {fake: {expected: null}}}"))
    assert layout.splits is None
    assert layout.groups["fake"].expected is None


def test_a_dataset_of_ones_own_is_read_by_its_description(file, tree, clips, caplog):
    root = tree("a/ann-1.mp4", "b/ann-1-bob.mp4", "b/notes.txt")
    path = file(
        "own:\n"
        "  licence: mine\n"
        "  groups:\n"
        "    real: {paths: ['a/{target}-{take}'], label: real, target: '{target}'}\n"
        "    fake:\n"
        "      paths: ['b/{target}-{take}-{donor}']\n"
        "      label: fake\n"
        "      method: swapper\n"
        "      pair: 'a/{target}-{take}'\n"
        "      target: '{target}'\n"
        "      donor: '{donor}'\n"
        "      parts: {target: '[a-z]+', donor: '[a-z]+'}\n"
    )
    found = clips("benchmarks", root, layout=path)
    fake = found["b/ann-1-bob"]
    assert (fake.dataset, fake.licence, fake.method) == ("own", "mine", "swapper")
    assert (fake.target_identity, fake.donor_identity) == ("ann", "bob")
    assert fake.pair == "a/ann-1"
    assert "own in " in caplog.text
    assert "1, b/notes.txt" in caplog.text


def test_one_of_several_datasets_in_a_file_is_asked_for_by_name(file, tree, clips):
    row = "{licence: mine, groups: {real: {paths: ['{x}'], label: real}}}"
    path = file(f"one: {row}\ntwo: {row}\n")
    root = tree("a.mp4")
    assert [c.dataset for c in clips("benchmarks", root, layout=path, dataset="two").values()] == [
        "two"
    ]
    with pytest.raises(InvalidOption, match="has one, two; say which is meant with the option da"):
        clips("benchmarks", root, layout=path)
    with pytest.raises(InvalidOption, match="says nothing of three; it has one, two"):
        clips("benchmarks", root, layout=path, dataset="three")
    with pytest.raises(InvalidOption, match="says nothing of uadfv; it has one, two"):
        clips("uadfv", root, layout=path)
    with pytest.raises(MissingMedia, match=r"no layout, expected a YAML file .* -o layout=FILE"):
        clips("benchmarks", root)


@pytest.mark.parametrize(
    ("row", "match"),
    [
        ("{groups: {real: {label: reel}}}", "groups.real.label: Input should be 'real', 'fake' or"),
        ("{groups: {real: {colour: red}}}", "groups.real.colour: Extra inputs are not permitted"),
        ("{group: {}}", "uadfv: group: Extra inputs are not permitted"),
        ("{groups: {real: {paths: []}}}", "groups.real.paths: List should have at least 1 item"),
        ("{groups: {real: {paths: ['/a/{x}']}}}", "'/a/{x}' is no path below the root"),
        ("{groups: {real: {paths: ['../{x}']}}}", "'../{x}' is no path below the root"),
        ("{groups: {real: {paths: ['{x']}}}", "groups.real.paths.0: .*expected '}'"),
        ("{groups: {real: {paths: ['{X}']}}}", "has the part {X}; names have a-z, 0-9 and _"),
        ("{groups: {real: {paths: ['{x!r}']}}}", "has the part {x!r}; names have"),
        ("{groups: {real: {id: '{video:9}'}}}", "groups.real.id: .*the part {video:9}; names have"),
        (
            "{groups: {real: {paths: 'real/{video}'}}}",
            "groups.real.paths: Input should be a valid l",
        ),
        (
            "{groups: {real: {parts: {video: '(?P<video>.)'}}}}",
            "'real/{video}' is no regular expression with its parts: redefinition",
        ),
        ("{groups: {real: {parts: {video: '('}}}}", "groups.real.parts.video: .*no regular expres"),
        (
            "{groups: {fake: {pair: 'real/{who}'}}}",
            "groups.fake.pair has the part {who}; known are",
        ),
        ("{groups: {new: {label: fake}}}", "groups.new.paths: Field required"),
        ("{tables: {t: {paths: [a.csv], groups: [x]}}}", "about the group 'x', which there is not"),
        ("{homepage: 'http://a'}", "homepage: String should match pattern"),
        ("{licence: ''}", "licence: String should have at least 1 character"),
        ("{expected: {real: many}}", "expected.real: Input should be a valid integer"),
        (
            "{splits: {lists: {test: [a.csv]}}}",
            "splits.lists.test.*: Input should be 'train', 'dev",
        ),
        ("{year: 2019, verified: perhaps}", "verified: Input should be a valid boolean"),
        ("[1, 2]", r"uadfv: expected the fields of a dataset, got \[1, 2\]"),
    ],
)
def test_a_field_that_cannot_be_is_named(row, match, file):
    path = file(f"uadfv: {row}")
    with pytest.raises(InvalidOption, match=match) as told:
        layout_of("uadfv", path)
    assert str(path) in str(told.value)
    assert "\n" not in str(told.value)


def test_what_follows_from_another_error_is_not_told(file):
    with pytest.raises(InvalidOption) as told:
        layout_of("uadfv", file("uadfv: {groups: {real: {paths: ['../x']}}}"))
    assert "at least 1 item" not in str(told.value)


def test_a_file_that_is_none_is_told(file, tmp_path):
    for text, match in (("a: [", "is no YAML"), ("", "expected names of datasets with their fie")):
        with pytest.raises(InvalidOption, match=match):
            layout_of("uadfv", file(text))
    with pytest.raises(InvalidOption, match="which cannot be read: No such file"):
        layout_of("uadfv", tmp_path / "none.yaml")
    with pytest.raises(InvalidOption, match="could not determine a constructor"):
        layout_of("uadfv", file("uadfv: !!python/object/apply:os.getcwd []"))


@pytest.mark.parametrize("name", list(rows()))
def test_the_readme_says_of_each_row_where_access_is_given_and_whether_it_is_verified(name):
    (line,) = [x for x in README.read_text("utf-8").splitlines() if x.startswith(f"| `{name}` |")]
    layout = layout_of(name)
    assert f"]({layout.homepage})" in line
    assert line.split("|")[-2].strip().startswith("yes" if layout.verified else "no: ")


def test_the_example_of_the_readme_is_a_layout():
    (text,) = re.findall(r"```yaml\n(.*?)```", README.read_text("utf-8"), flags=re.DOTALL)
    example = yaml.safe_load(text)
    assert set(example) == {"uadfv", "my-swaps"}
    assert Layout.model_validate({"name": "my-swaps", **example["my-swaps"]}).groups["fake"].pair

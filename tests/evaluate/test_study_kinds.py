"""What each study trains on, and the numbers that are its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import xarray as xr

from gendkit.data.manifest import Manifest
from gendkit.data.subsets import distinct
from gendkit.errors import InvalidArgument, InvalidManifest, MissingDependency
from gendkit.evaluate.study import (
    ablation,
    data_size,
    difficulty,
    layers,
    measured,
    paired,
    words,
)
from gendkit.evaluate.study.catalogue import STUDIES
from gendkit.evaluate.study.groups import groups_of
from gendkit.evaluate.study.measured import Clips
from gendkit.evaluate.study.setting import Setting, setting_of
from gendkit.measure.intervals import estimates
from gendkit.measure.metrics import auroc
from gendkit.testing.small import registered, small_backbone, small_families
from gendkit.train.presets import PRESETS
from gendkit.train.recipe import Recipe


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return small_families(tmp_path_factory.mktemp("crops"), people=8)


@pytest.fixture(autouse=True)
def small() -> Any:
    with registered(small_backbone()):
        yield


def setting(manifest: Manifest, name: str, *, left_out: tuple[str, ...] = (),
            seeds: tuple[int, ...] = (0, 1), **options: Any) -> Setting:  # fmt: skip
    study = STUDIES[name]
    recipe = Recipe.of("small-data", backbone="small", image_size=None, **study.changes)
    return setting_of(manifest, recipe, seeds=seeds, left_out=left_out,
                      options=study.with_options(options))  # fmt: skip


@pytest.mark.parametrize("preset", ["small-data", "gend-clip", "no-augmentation", "probe"])
def test_a_variant_differs_from_the_one_it_is_built_on_in_one_thing(preset: str) -> None:
    made = {n: r.model_dump() for n, r in ablation.recipes(Recipe.of(preset)).items()}
    assert tuple(made) == tuple(ablation.BASES)
    rate = {"learning_rate", "min_learning_rate", "tuned_norms"}  # these go with the kind of tuning
    differs = {
        name: {k for k, v in made[name].items() if v != made[base][k]} - rate
        for name, base in ablation.BASES.items() if base
    }  # fmt: skip
    augmented = {"augmentation"} if PRESETS[preset]["augmentation"] != "none" else set()
    assert differs == {
        "LN": {"sphere"}, "LN+L2": {"sphere"}, "LN+L2+UnAl": {"losses"},
        "no augmentation": augmented, "full": {"tuning"}, "LoRA": {"tuning", "lora"},
        "bitfit": {"tuning"},
    }  # fmt: skip


def test_the_rates_of_other_kinds_are_those_given() -> None:
    made = ablation.recipes(Recipe.of("small-data"), {"full": 1e-6, "LN": 1e-3})
    assert made["full"].learning_rate == 1e-6
    assert made["full"].min_learning_rate == 1e-7
    assert made["full"].head_learning_rate == 3e-3
    assert made["LN"].learning_rate == 1e-3
    assert made["LN+L2"].learning_rate == 4e-2
    assert ablation.recipes(Recipe.of("gend-clip"))["LoRA"].learning_rate == 3e-4


def test_lora_without_its_package_is_told_at_once(
    manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "peft", None)
    with pytest.raises(MissingDependency, match="lora"):
        ablation.cells(setting(manifest, "ablation"))
    assert len(ablation.cells(setting(manifest, "ablation", variants=["LN"]))) == 4
    with pytest.raises(InvalidArgument, match="no variant is named 'luck'"):
        ablation.cells(setting(manifest, "ablation", variants=["luck"]))


def test_both_sets_of_a_pair_study_have_the_same_fakes_and_as_many_reals(
    manifest: Manifest,
) -> None:
    cells = paired.cells(setting(manifest, "paired"))
    sets = {(c.at["kind"], c.at["seed"]): manifest.faces().where(_whole(manifest, c.train))
            for c in cells}  # fmt: skip
    one, other = sets["paired", 0], sets["unpaired", 0]
    assert _fakes(one) == _fakes(other) != _fakes(sets["paired", 1])
    for column in ("clips", "people", "frames"):
        assert (distinct(one)[column] == distinct(other)[column])[["real", "fake"]].all()
    assert distinct(one).loc["both", "sources"] == distinct(one).loc["real", "clips"] == 4
    assert distinct(other).loc["both", "sources"] == 0
    assert {c.recipe.sphere for c in cells} == {False}
    assert {c.recipe.batches for c in cells} == {"shuffled"}


def _whole(manifest: Manifest, rows: np.ndarray) -> np.ndarray:
    """Rows of what a setting keeps, as rows of the whole manifest."""
    whole = np.zeros(len(manifest), bool)
    whole[np.flatnonzero(manifest.table["split"].isin(["train", "development"]))] = rows
    return whole


def _fakes(one: Manifest) -> set[str]:
    return set(one.table["video"][one.table["label"] == 1])


def test_more_clips_than_there_are_is_an_error(manifest: Manifest) -> None:
    with pytest.raises(InvalidArgument, match="the largest number of clips is 4"):
        paired.cells(setting(manifest, "paired", clips=5))


def test_smaller_parts_are_in_larger_ones_and_nobody_is_cut(manifest: Manifest) -> None:
    asked = setting(manifest, "data-size", fractions=[0.25, 0.5, 1.0])
    component = asked.manifest.components()
    for seed in (0, 1):
        parts = data_size.nested(asked, seed=seed)
        assert [len(set(component[rows])) for rows in parts.values()] == [2, 4, 8]
        quarter, half, whole = parts.values()
        assert (half | ~quarter).all()
        assert (whole == asked.learned).all()
        inside = asked.learned & np.isin(component, component[quarter])
        assert (inside == quarter).all()
    first, second = (data_size.nested(asked, seed=seed)[0.25] for seed in (0, 1))
    assert (first != second).any()
    with pytest.raises(InvalidArgument, match="above 0, at most 1"):
        data_size.cells(setting(manifest, "data-size", fractions=[0.0]))


def test_a_part_always_has_both_classes_whatever_its_size(manifest: Manifest) -> None:
    asked = setting(manifest, "data-size", fractions=[0.001])
    (rows,) = data_size.nested(asked, seed=0).values()
    assert set(asked.manifest.table["label"][rows]) == {0, 1}


def test_layers_are_none_one_a_quarter_a_half_and_all() -> None:
    assert layers.steps(25) == [0, 1, 6, 12, 25]
    assert layers.steps(5) == [0, 1, 2, 5]
    assert layers.steps(1) == [0, 1]
    assert layers.depth(Recipe.of("small-data", backbone="small", image_size=None)) == 5


def test_the_smallest_number_of_layers_is_a_probe(manifest: Manifest) -> None:
    cells = layers.cells(setting(manifest, "layers", seeds=(3,)))
    assert [(c.at["norms"], c.probe, c.recipe.tuned_norms) for c in cells] == [
        (0, True, 0), (1, False, 1), (2, False, 2), (5, False, 5),
    ]  # fmt: skip
    assert {c.recipe.seed for c in cells} == {3}


def test_a_group_has_its_fakes_and_the_reals_of_their_people(manifest: Manifest) -> None:
    asked = setting(manifest, "difficulty", by="family")
    groups = groups_of(asked, by="family")
    assert [g.name for g in groups] == ["columns", "corner", "rows"]
    table = asked.manifest.table
    for group in groups:
        for rows, split in ((group.learned, "train"), (group.scored, "development")):
            assert set(table["split"][rows]) == {split}
            assert set(table["family"][rows]) == {"", group.name}
            assert len(table[rows]) == 16
        assert np.isnan(group.year)
    with pytest.raises(InvalidManifest, match="0 groups by year"):
        groups_of(asked, by="year")
    with pytest.raises(InvalidManifest, match="1 groups by dataset"):
        groups_of(asked, by="dataset")
    with pytest.raises(InvalidArgument, match="groups by 'age'"):
        groups_of(asked, by="age")


def test_reals_of_other_people_are_in_no_group(manifest: Manifest) -> None:
    table = manifest.table
    gone = (table["family"] == "rows") & table["target_identity"].isin(["p1", "p2", "p9"])
    asked = setting(manifest.where(~gone), "difficulty", by="family")
    rows = next(g for g in groups_of(asked, by="family") if g.name == "rows")
    shown = set(asked.manifest.table["target_identity"][rows.learned | rows.scored])
    assert not shown & {"p1", "p2", "p9"}


def test_a_data_set_keeps_all_its_reals_whoever_they_show(manifest: Manifest) -> None:
    table = manifest.table.copy()
    odd = table["target_identity"].str[1:].astype(int) % 2 == 1
    table["dataset"] = np.where(odd, "odd", "even")
    table["target_identity"], table["pair"] = "", ""  # nobody knows who is who
    asked = setting(replace(manifest, table=table), "difficulty", by="dataset")
    for group in groups_of(asked, by="dataset"):
        rows = asked.manifest.table[group.learned]
        assert set(rows["dataset"]) == {group.name}
        assert rows["label"].value_counts().to_dict() == {0: 4, 1: 12}


def test_years_are_those_of_generators_and_of_data_sets(manifest: Manifest) -> None:
    years = {"rows": 2018, "columns": 2020, "corner": 2020}
    table = manifest.table
    dated = table.assign(generator_year=[years.get(f, -1) for f in table["family"]])
    asked = setting(Manifest(table=dated, root=manifest.root), "difficulty", by="year")
    assert {g.name: g.year for g in groups_of(asked, by="year")} == {"2018": 2018.0, "2020": 2020.0}
    assert {g.name: g.year for g in groups_of(asked, by="family")} == {
        name: float(year) for name, year in years.items()
    }


def test_difficulty_is_what_detectors_of_other_groups_miss() -> None:
    matrix = np.array([[1.0, 0.6, 0.7], [0.8, 1.0, 0.5], [0.6, np.nan, 1.0]])
    np.testing.assert_allclose(difficulty.difficulties(matrix), [0.3, 0.4, 0.4])
    matrix[:, 1] = np.nan  # in no clip of a resample is anything known of it
    np.testing.assert_allclose(difficulty.difficulties(matrix), [0.3, np.nan, 0.4])


def test_a_tie_to_the_year_is_asked_of_groups_and_not_of_clips() -> None:
    years = np.array([2017.0, 2018, 2020, 2023])
    rising = np.array([0.1, 0.2, 0.3, 0.4])
    assert difficulty.permuted(rising, years) == pytest.approx(2 / 24)
    assert difficulty.permuted(-rising, years) == pytest.approx(2 / 24)
    assert difficulty.permuted(rising[[1, 0, 3, 2]], years) > 0.3
    assert np.isnan(difficulty.permuted(rising[:3], years[:3]))
    assert np.isnan(difficulty.permuted(rising, np.full(4, 2020.0)))
    many = np.arange(9.0)
    assert difficulty.permuted(many, many) < 0.001
    assert difficulty.permuted(many, many) == difficulty.permuted(many, many)


def test_so_few_groups_that_no_tie_could_be_seen_are_told() -> None:
    assert difficulty.smallest_p(np.arange(4.0)) == pytest.approx(2 / 24)
    assert difficulty.smallest_p(np.arange(5.0)) == pytest.approx(2 / 120)
    assert difficulty.smallest_p(np.array([1.0, 1, 2, 3])) == pytest.approx(4 / 24)
    ds = xr.Dataset(
        {"tau": ("bound", [1.0, 0.5, 1.0]), "tau_p": ((), 2 / 24)},
        coords={"year": ("tested", [2017.0, 2018, 2020, 2023])}, attrs={"dated": 4},
    )  # fmt: skip
    assert "whatever their order, p is at least 0.083" in difficulty._years(ds)


def test_a_matrix_and_its_thresholds_are_those_of_the_clips(manifest: Manifest) -> None:
    asked = setting(manifest, "difficulty", by="family")
    names = ["columns", "corner", "rows"]
    table = asked.manifest.table[asked.scored]
    rng = np.random.default_rng(0)
    margin = rng.normal(size=(3, 2, len(table))) + table["label"].to_numpy()
    on_sample = ("dataset", "video", "track", "label", "method", "family", "degradation", "split",
                 "pair", "target_identity", "donor_identity", "year")  # fmt: skip
    component = asked.manifest.components()[asked.scored]
    margins = xr.Dataset(
        {"margin": (("trained", "seed", "sample"), margin)},
        coords={"trained": names, "seed": [0, 1], "component": ("sample", component),
                **{n: ("sample", table[n].to_numpy()) for n in on_sample}},
    )  # fmt: skip
    ds = difficulty.analyse(margins, asked)
    rows = table["family"].isin(["", "rows"]).to_numpy()
    expected = np.mean([auroc(table["label"][rows], margin[1, s, rows]) for s in (0, 1)])
    found = ds["auroc"].sel(trained="corner", tested="rows", bound="value")
    assert float(found) == pytest.approx(expected)
    assert np.isnan(ds["fpr"]).all()  # eight reals are too few for 1 % and 5 %
    assert np.isnan(ds["tau"]).all()
    assert (ds["shared_reals"] == 1).all()


def test_a_threshold_needs_reals_and_counts_weighted_clips() -> None:
    scores = np.linspace(0, 1, 40)[None]  # (seed, clip)
    reals = np.arange(20)
    assert np.isnan(difficulty._threshold(scores, reals, 0.01)).all()
    limit = difficulty._threshold(scores, reals, 0.05)
    assert limit[0] == scores[0, 18]
    weight = np.ones(40, np.int64)
    weight[19] = 3
    thresholds = limit[None, None]  # (trained, level, seed)
    counts = {"seed": np.ones(1, np.int64)}
    rate = difficulty._rate(scores[None], thresholds, reals, weight, counts)
    np.testing.assert_allclose(rate, [[3 / 22]])


def test_an_interval_is_wider_over_fewer_people() -> None:
    def clips(people: int) -> Clips:
        rng = np.random.default_rng(0)
        label = np.tile([0, 1], 60)
        score = label + rng.normal(size=(1, 2, 120)) * 1.2
        on_clip = {"label": label, "family": np.where(label, "a", ""), "method": [""] * 120,
                   "component": np.arange(120) % people}  # fmt: skip
        ds = xr.Dataset({"score": (("kind", "seed", "clip"), score)},
                        coords={n: ("clip", v) for n, v in on_clip.items()})  # fmt: skip
        return Clips(ds, ["a"])

    widths = []
    for people in (120, 6):
        one = clips(people)
        found = estimates(
            lambda c, one=one: {"auroc": one.by_family(c)}, one.sizes(), resamples=200
        )
        value, low, high = found["auroc"][0, 0]
        assert low < value < high
        widths.append(high - low)
    assert widths[1] > widths[0]


def test_a_family_counts_as_many_components_as_its_rarer_class() -> None:
    label = np.array([0, 0, 0, 1, 1, 1, 1])
    on_clip = {"label": label, "family": ["", "", "", "a", "a", "b", "b"], "method": [""] * 7,
               "component": [0, 1, 2, 0, 1, 5, 5]}  # fmt: skip
    score = np.random.default_rng(0).random((1, 7))
    clips = Clips(
        xr.Dataset({"score": (("seed", "clip"), score)},
                   coords={n: ("clip", v) for n, v in on_clip.items()}), ["a", "b"],
    )  # fmt: skip
    assert clips.rarer.tolist() == [2, 1]
    assert clips.rarer_of(np.array([True, False])) == 2
    assert clips.rarer_of(np.array([True, True])) == 1
    found = estimates(
        lambda c: {"auroc": clips.by_family(c)}, clips.sizes(), resamples=50,
        components={"auroc": clips.rarer},
    )["auroc"]  # fmt: skip
    assert np.isfinite(found[0]).all()
    assert np.isfinite(found[1]).tolist() == [True, False, False]


def test_families_of_another_mean_say_nothing_about_how_families_differ() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([[0.6, 0.9], rng.uniform(size=6)])  # AUROCs; two families are meant
    meant = np.arange(8) < 2

    def interval(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        sizes = {"family": int(chosen.sum())}
        return estimates(lambda c: {"m": measured.over_families(values, c, chosen)}, sizes)["m"]

    np.testing.assert_array_equal(interval(values, meant), interval(values[:2], meant[:2]))
    np.testing.assert_allclose(interval(values, meant), [0.75, 0.6, 0.9])


def test_few_levels_of_what_is_resampled_are_told() -> None:
    ds = xr.Dataset(attrs={"components": 40})
    made = {"seeds": [0, 1, 2, 3, 4], "on": "development"}
    assert "family" not in " ".join(words.limits(ds, made))
    one, two = (" ".join(words.limits(ds, made, families=n)) for n in (1, 2))
    assert "There is one family: how much another would differ is not in the interval" in one
    assert "Over 2 families an interval is too narrow even so" in two
    few = " ".join(words.limits(ds, {**made, "seeds": [0, 1, 2]}, families=9))
    assert "that of a mean also over 9 families" in few
    assert "Over 3 seeds an interval is too narrow even so" in few


@pytest.mark.parametrize(
    ("bound", "words_"),
    [
        ((0.1, 0.05, 0.2), "A has a higher mean AUROC than B, by +0.100"),
        ((-0.1, -0.2, -0.05), "A has a lower mean AUROC than B, by −0.100"),
        ((0.1, -0.05, 0.2), "A is not told apart from B"),
        ((np.nan, np.nan, np.nan), "A could not be compared with B."),
        ((0.1, 0.1, 0.1), "by +0.100 (the same in every resample, which says nothing of others)"),
        ((0.1, np.nan, np.nan), r"not told apart from B: the mean AUROC differs by \+0.100 \(no"),
    ],
)
def test_a_sentence_claims_what_the_interval_allows(bound: Any, words_: str) -> None:
    import re

    pattern = words_ if "\\" in words_ else re.escape(words_)
    assert re.search(pattern, words.compared("A", "B", bound))

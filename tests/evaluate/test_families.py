"""Two detectors on the same crops: what is compared with what, and how sure the difference is."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from gendkit.errors import InvalidManifest, UndefinedMetric
from gendkit.evaluate.demo.families import DETECTORS, Comparison, compare
from gendkit.measure.metrics import auroc

PEOPLE = 12
SEEN = ("swap", "blend")
FAMILIES = ("blend", "lips", "swap", "warp")
CONTROLS = ("blur", "jpeg")
VALUES = [f"{d}{end}" for d in (*DETECTORS, "difference") for end in ("", "_low", "_high")]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Two crops of each person: plain, of each family and, real and forged, of each degradation."""
    rng = np.random.default_rng(0)
    kinds = [
        (0, "", ""),
        *((1, family, "") for family in FAMILIES),
        *((label, "blend" if label else "", control) for control in CONTROLS for label in (0, 1)),
    ]
    rows = [
        {
            "label": label,
            "family": family,
            "degradation": control,
            "identity": f"person {i}",
            "component": i,
        }
        for i in range(PEOPLE)
        for label, family, control in kinds
        for _ in range(2)
    ]
    made = pd.DataFrame(rows)
    noise = rng.normal(size=(len(made), 2))
    made["probe"] = 0.5 * made["label"] + noise[:, 0]
    made["tuned"] = 1.5 * made["label"] + 0.5 * noise[:, 0] + 0.5 * noise[:, 1]
    return made


@pytest.fixture(scope="module")
def comparison(table: pd.DataFrame) -> Comparison:
    return compare(table, seen=SEEN, resamples=100)


def told_apart(table: pd.DataFrame, negative: pd.Series, positive: pd.Series, by: str) -> float:
    part = table[negative | positive]
    return auroc(positive[part.index].astype(int), part[by])


def test_there_is_a_row_a_family_and_control_in_a_fixed_order(comparison: Comparison) -> None:
    families = comparison.families
    assert families.columns.tolist() == [
        *("group", "family", "real", "fake", "identities"),
        *VALUES,
    ]
    assert list(families[["group", "family"]].itertuples(index=False, name=None)) == [
        ("seen", "swap"),
        ("seen", "blend"),
        ("unseen", "lips"),
        ("unseen", "warp"),
        ("control", "blur"),
        ("control", "jpeg"),
    ]
    assert (families[["real", "fake"]] == 2 * PEOPLE).all(axis=None)
    assert (families["identities"] == PEOPLE).all()


@pytest.mark.parametrize("detector", DETECTORS)
def test_a_family_is_told_from_all_plain_reals(
    table: pd.DataFrame, comparison: Comparison, detector: str
) -> None:
    plain = table["degradation"] == ""
    found = comparison.families.set_index("family")[detector]
    for family in FAMILIES:
        forged = plain & (table["family"] == family)
        expected = told_apart(table, plain & (table["label"] == 0), forged, detector)
        assert found[family] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("detector", DETECTORS)
def test_a_control_tells_degraded_reals_from_plain_ones(
    table: pd.DataFrame, comparison: Comparison, detector: str
) -> None:
    real = table["label"] == 0
    found = comparison.families.set_index("family")[detector]
    for control in CONTROLS:
        degraded = real & (table["degradation"] == control)
        expected = told_apart(table, real & (table["degradation"] == ""), degraded, detector)
        assert found[control] == pytest.approx(expected, abs=1e-12)


def test_degraded_crops_change_nothing_about_the_families(
    table: pd.DataFrame, comparison: Comparison
) -> None:
    plain = table[table["degradation"] == ""].reset_index(drop=True)
    found = compare(plain, seen=SEEN, resamples=100)
    assert set(found.families["group"]) == {"seen", "unseen"}
    pd.testing.assert_frame_equal(
        found.families, comparison.families[comparison.families["group"] != "control"]
    )


def test_the_difference_is_tuned_minus_probe(comparison: Comparison) -> None:
    for found in (comparison.families, comparison.groups):
        np.testing.assert_allclose(
            found["difference"], found["tuned"] - found["probe"], rtol=0, atol=1e-12
        )
    assert (comparison.groups.set_index("group")["difference"][["seen", "unseen"]] > 0.1).all()


def test_intervals_hold_their_estimates(comparison: Comparison) -> None:
    for found in (comparison.families, comparison.groups):
        for name in (*DETECTORS, "difference"):
            assert (found[f"{name}_low"] <= found[name]).all()
            assert (found[name] <= found[f"{name}_high"]).all()
            assert (found[f"{name}_low"] < found[f"{name}_high"]).all()


def test_the_mean_of_a_group_is_over_its_families(comparison: Comparison) -> None:
    groups, families = comparison.groups.set_index("group"), comparison.families
    assert comparison.groups.columns.tolist() == families.columns.tolist()
    assert groups.index.tolist() == ["seen", "unseen", "control"]
    assert (groups["family"] == "mean").all()
    for name in (*DETECTORS, "difference"):
        expected = families.groupby("group")[name].mean()
        np.testing.assert_allclose(groups[name], expected[groups.index], rtol=0, atol=1e-12)
    assert groups[["real", "fake"]].to_numpy().tolist() == [[24, 48]] * 3  # a real counts once


def test_one_seed_gives_one_table_and_another_another(table: pd.DataFrame) -> None:
    one, same, other = (compare(table, seen=SEEN, resamples=30, seed=s).families for s in (3, 3, 4))
    pd.testing.assert_frame_equal(one, same)
    assert not one.equals(other)
    estimates = [*DETECTORS, "difference"]
    pd.testing.assert_frame_equal(one[estimates], other[estimates])


def test_people_are_drawn_and_not_crops(table: pd.DataFrame) -> None:
    """Copies of a person's crops do not make the interval narrower."""
    copied = pd.concat([table] * 3, ignore_index=True)
    options = {"seen": SEEN, "resamples": 60}
    pd.testing.assert_frame_equal(
        compare(copied, **options).families[VALUES], compare(table, **options).families[VALUES]
    )


def test_people_who_are_linked_are_drawn_together(table: pd.DataFrame) -> None:
    pairs = compare(table.assign(component=table["component"] // 2), seen=SEEN).groups
    apart = compare(table, seen=SEEN).groups
    assert (pairs["identities"] == PEOPLE).all()
    pd.testing.assert_frame_equal(pairs[list(DETECTORS)], apart[list(DETECTORS)])
    assert not pairs[VALUES].equals(apart[VALUES])


def test_people_who_are_all_linked_give_no_interval(table: pd.DataFrame) -> None:
    with pytest.warns(UndefinedMetric, match="no interval can be estimated"):
        alone = compare(table.assign(component=0), seen=SEEN).families
    for name in (*DETECTORS, "difference"):
        assert np.isfinite(alone[name]).all()
        assert alone[[f"{name}_low", f"{name}_high"]].isna().all(axis=None)


def test_a_family_of_one_person_has_no_interval_nor_has_its_mean(table: pd.DataFrame) -> None:
    rare = (table["family"] == "lips") & (table["component"] > 0)
    found = compare(table[~rare].reset_index(drop=True), seen=SEEN, resamples=30)
    known = found.families.set_index("family")[["tuned_low", "difference_high"]].notna().all(axis=1)
    assert known.to_dict() == {f: f != "lips" for f in (*FAMILIES, *CONTROLS)}
    whole = found.groups.set_index("group")["tuned_high"].notna()
    assert whole.to_dict() == {"seen": True, "unseen": False, "control": True}


def test_reals_alone_cannot_be_compared(table: pd.DataFrame) -> None:
    real = table[(table["label"] == 0) & (table["degradation"] == "")]
    with pytest.raises(InvalidManifest, match="neither a fake nor a degraded real"):
        compare(real.reset_index(drop=True), seen=SEEN)


def test_two_equal_detectors_differ_by_nothing_at_all(table: pd.DataFrame) -> None:
    """AUROC has no scale, and both are asked about the same resample."""
    found = compare(table.assign(tuned=2 * table["probe"] + 1), seen=SEEN, resamples=50)
    names = ["difference", "difference_low", "difference_high"]
    assert (found.families[names] == 0).all(axis=None)
    assert (found.groups[names] == 0).all(axis=None)


def test_a_seen_family_without_crops_has_no_row(table: pd.DataFrame) -> None:
    found = compare(table, seen=("swap", "ghost"), resamples=5)
    assert "ghost" not in set(found.families["family"])
    assert found.families["group"].tolist() == ["seen", *["unseen"] * 3, *["control"] * 2]


def test_all_families_may_be_unseen(table: pd.DataFrame) -> None:
    found = compare(table, seen=(), resamples=5)
    assert found.groups["group"].tolist() == ["unseen", "control"]


@pytest.mark.parametrize("group", ["seen", "unseen"])
@pytest.mark.parametrize("detector", DETECTORS)
def test_a_curve_pools_the_families_of_its_group(
    table: pd.DataFrame, comparison: Comparison, group: str, detector: str
) -> None:
    roc = comparison.roc
    assert roc.columns.tolist() == ["group", "detector", "fpr", "tpr"]
    assert set(roc["group"]) == {"seen", "unseen"}
    curve = roc[(roc["group"] == group) & (roc["detector"] == detector)]
    assert curve[["fpr", "tpr"]].iloc[[0, -1]].to_numpy().tolist() == [[0, 0], [1, 1]]
    plain = table["degradation"] == ""
    members = SEEN if group == "seen" else ("lips", "warp")
    expected = told_apart(
        table, plain & (table["label"] == 0), plain & table["family"].isin(members), detector
    )
    area = np.trapezoid(curve["tpr"], curve["fpr"])
    assert area == pytest.approx(expected, abs=1e-12)

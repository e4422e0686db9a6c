"""The page of a benchmark: complete, self-contained, and saying no more than the intervals do."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from gendkit.errors import InvalidArgument
from gendkit.evaluate.benchmark.run import Benchmark
from gendkit.evaluate.benchmark.tables import auroc_table, mark, tables, tidy
from gendkit.pages.benchmark import _meant, benchmark_page, compared, render_benchmark
from gendkit.pages.benchmark_figures import drawings
from gendkit.testing.benchmark_result import METHODS, drawn_benchmark


@pytest.fixture(scope="module")
def drawn() -> Benchmark:
    return drawn_benchmark(people=24, resamples=6)


@pytest.fixture(scope="module")
def page(drawn: Benchmark) -> str:
    return render_benchmark(drawn)


def changed(drawn: Benchmark, **values: Any) -> Benchmark:
    ds = drawn.ds.copy(deep=True)
    for name, value in values.items():
        ds[name] = xr.full_like(ds[name], value)
    return replace(drawn, ds=ds)


def test_the_page_asks_nobody_for_anything_and_has_each_picture(page: str) -> None:
    assert not re.findall(r'(?:src|href)="(?!#|data:)', page)
    assert page.count("<svg ") == 7 + 2  # two of them again for phones
    for words in ("What to know first", "7 of 120 fake clips of kodf have no score", "gend-clip"):
        assert words in page


def test_a_detector_is_called_better_only_where_the_interval_says_so(drawn: Benchmark) -> None:
    clear = changed(drawn, overall_difference=0.1, overall_difference_low=0.05,
                    overall_difference_high=0.15, selected_on="no", trained_on="no")  # fmt: skip
    assert "gend-clip has a higher mean AUROC than probe (+0.100" in " ".join(compared(clear))
    unclear = changed(clear, overall_difference_low=-0.01)
    text = " ".join(compared(unclear))
    assert "has a higher mean" not in text
    assert "That gend-clip is better than probe is not shown (+0.100" in text
    assert text.endswith("chosen by the same data.")
    two = replace(drawn, ds=clear.ds.isel(detector=[0, 1], other=[0, 1]))
    assert "by itself" not in " ".join(compared(two))


def test_who_is_better_is_said_of_the_clips_that_both_scored(drawn: Benchmark) -> None:
    whole = drawn.ds.isel(detector=[0, 1], other=[0, 1])
    worse, best = (str(name) for name in whole["detector"].to_numpy())
    ends = {"overall_difference": -0.1, "overall_difference_low": -0.2,
            "overall_difference_high": -0.05, "selected_on": "no", "trained_on": "no"}  # fmt: skip
    (said,) = compared(changed(replace(drawn, ds=whole), **ends))
    assert said.startswith(f"{worse} has a higher mean AUROC than {best} (+0.100, ")
    apart = whole.assign(difference_clips=whole["difference_clips"] - 1)
    (said,) = compared(changed(replace(drawn, ds=apart), **ends))
    assert f"than {best} on the clips that both scored (+0.100" in said
    (said,) = compared(changed(replace(drawn, ds=apart), **{**ends, "overall_difference": np.nan}))
    assert said == f"{best} and {worse} cannot be compared on the clips that both scored."


def test_a_headline_is_of_data_that_took_part_in_nothing(drawn: Benchmark) -> None:
    first, second, third = drawn.ds["dataset"].to_numpy()
    assert _meant(drawn.ds) == (
        "mean without selection", 1, " that took part in no selection or training"
    )  # fmt: skip
    text = render_benchmark(drawn)
    assert "mean AUROC of 1 data set that took part in no selection or training; 95 %" in text
    first_words, *_ = compared(drawn)
    assert first_words == "Means are of the 1 data set that took part in no selection or training."
    alone = drawn.ds.sel(dataset=[first, second])
    assert _meant(alone) == ("mean", 2, ", which took part in a selection or training")
    assert _meant(drawn.ds.sel(dataset=[third])) == ("mean", 1, "")
    lacking = drawn.ds.copy(deep=True)
    lacking["auroc"].loc[{"dataset": third}] = np.nan
    assert _meant(lacking) == ("mean", 2, ", which took part in a selection or training")


def test_each_table_can_be_read_by_people_and_by_latex(drawn: Benchmark) -> None:
    found = {table.name: table for table in tables(drawn)}
    assert list(found) == ["auroc", "metrics", "methods", "differences", "transfer", "coverage"]
    for table in found.values():
        assert {len(row) for row in table.rows} == {len(table.head)}
        lines = table.markdown().splitlines()
        assert {line.count(" | ") for line in lines[: len(table.rows) + 2]} == {len(table.head) - 1}
        tex = table.latex()
        assert tex.count(r"\\") == len(table.rows) + 1
        assert not re.search(r"(?<!\\)[%&_#](?! )", re.sub(r"\\label.*", "", tex))
    assert len(found["metrics"].rows) == 9
    assert len(found["methods"].rows) == sum(map(len, METHODS.values()))
    assert len(found["transfer"].rows) == 3 * 2 * 3
    assert "not estimable (24 real)" in found["transfer"].markdown()  # 1 % of 24
    frame = found["transfer"].frame()
    stated = drawn.ds["transfer_bound"].sel(rate=0.05).max("seed").to_numpy()
    bounds = frame.loc[frame["FPR"] == "5 %", "its true FPR at most"]
    expected = [f"{100 * b:.1f} %" if np.isfinite(b) else "–" for b in stated.ravel()]
    assert bounds.tolist() == expected
    assert any(text != "–" for text in expected)


def test_a_rate_that_is_not_there_for_want_of_fakes_is_not_for_want_of_reals(
    drawn: Benchmark,
) -> None:
    ds = drawn.ds.copy(deep=True)
    here = {"dataset": "kodf", "method": "all"}
    for metric, value in (("tpr_at_fpr_0.01", np.nan), ("n_real", 900), ("n_fake", 0)):
        ds["video"].loc[{**here, "metric": metric}] = value
    frame = tables(replace(drawn, ds=ds))[1].frame()
    own = frame[frame["data set"].str.startswith("kodf")]
    assert set(own["TPR at FPR 1 %"]) == {"–"}


def test_marks_say_what_took_part_and_what_is_not_known(drawn: Benchmark) -> None:
    assert mark(drawn.ds, "celeb-df-pp", "probe") == "†"
    assert mark(drawn.ds, "faceforensics", "probe") == "‡"
    assert mark(drawn.ds, "kodf", "probe") == ""
    assert mark(drawn.ds, "kodf", "other (a/b)") == "?"
    (row, *_) = tables(drawn)[0].rows
    assert [cell[-1] in "†‡?" for cell in row[1:4]] == [True, True, False]


def test_coverage_and_preprocessing_stand_beside_the_numbers(drawn: Benchmark) -> None:
    found = {table.name: table for table in tables(drawn)}
    row = next(r for r in found["metrics"].rows if r[:2] == ("other (a/b)", "kodf ?"))
    assert row[-2] == "24 of 24 real, 17 of 24 fake"
    assert row[-1] == "centerface from 0.5, scale 1.3; not as in training"
    assert found["auroc"].head[3] == "kodf (41 to 48 clips)"
    assert found["auroc"].rows[0][-1] == "224 px, squash, bicubic, bfloat16"
    for name, table in found.items():
        text = table.markdown()
        cropped = "kodf ?: 41 to 48 of 48, centerface from 0.5, scale 1.3" in text
        assert cropped or name in ("metrics", "coverage")  # these have columns of it
        assert "224 px, squash, bicubic, bfloat16" in text
        assert ("‡ in its training" in text) == (name != "coverage")
    assert "gend-clip − other (a/b) on kodf is of 41 clips" in found["differences"].markdown()
    assert "gend-clip − probe on" not in found["differences"].markdown()


def test_the_tidy_table_has_each_number_once(drawn: Benchmark) -> None:
    table = tidy(drawn.ds)
    assert not table["value"].isna().any()
    assert not table.drop(columns="value").duplicated().any()
    one = table.query("detector == 'gend-clip' and dataset == 'kodf' and method == 'all' and "
                      "seed == 2 and level == 'video' and metric == 'auroc'")  # fmt: skip
    at = {"detector": "gend-clip", "dataset": "kodf", "method": "all", "seed": 2}
    expected = float(drawn.ds["video"].sel({**at, "metric": "auroc"}))
    assert one["value"].tolist() == [expected]
    assert auroc_table(drawn).shape == (3, 6)


def test_the_files_are_written_beside_the_result(drawn: Benchmark, tmp_path: Path) -> None:
    (tmp_path / "result").mkdir()
    record = tmp_path / "result" / "benchmark.json"
    record.write_text('{"inputs": "another"}')
    with pytest.raises(InvalidArgument, match="another comparison by now"):
        benchmark_page(replace(drawn, folder=tmp_path))
    record.write_text(json.dumps(drawn.record))
    page = benchmark_page(replace(drawn, folder=tmp_path))
    assert page == tmp_path / "result" / "benchmark.html"
    names = {f.name for f in (page.parent / "tables").iterdir()}
    assert {"auroc.md", "auroc.tex", "auroc.csv", "numbers.csv"} <= names
    with (page.parent / "tables" / "transfer.csv").open() as file:
        assert next(csv.reader(file))[:4] == ["detector", "FPR", "threshold of", "threshold"]
    pictures = sorted(f.stem for f in (page.parent / "pictures").iterdir())
    assert pictures == sorted(drawings(drawn.ds))
    with Image.open(page.parent / "pictures" / "roc.png") as image:
        assert image.width > 1000
        assert np.asarray(image.convert("L")).std() > 10


def test_one_detector_and_one_set_without_fakes_of_a_method_make_a_page(drawn: Benchmark) -> None:
    ds = drawn.ds.isel(detector=[0], other=[0], dataset=[0], source=[0], target=[0])
    ds = ds.isel({"method": [0]})
    ds["worst"] = xr.full_like(ds["worst"], "")
    one = replace(drawn, ds=ds)
    text = render_benchmark(one)
    assert "1 detector on 1 data set" in text
    assert "No method has fakes of its own" in text
    assert [table.name for table in tables(one)].count("differences") == 0

"""The charts of a training run: each epoch is a point more while `fit` runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import gendkit as gk
from gendkit.errors import MissingDependency, MissingMedia
from gendkit.notebook.training import Training, training
from gendkit.plugin import hookimpl
from gendkit.progress import silent
from gendkit.testing.small import registered, small_backbone, small_crops
from gendkit.train.recipe import Recipe

LOSSES = {"cross-entropy": 1.0, "uniformity": 0.5, "alignment": 0.1}


@pytest.fixture(autouse=True)
def small() -> Iterator[None]:
    pytest.importorskip("plotly", reason="plotly is not installed")
    with registered(small_backbone()):
        yield


@pytest.fixture
def fit(tmp_path: Path) -> Any:
    """Train the small backbone for three epochs."""
    for name in ("train", "validation"):
        (tmp_path / name).mkdir()
    train = small_crops(tmp_path / "train")
    validation = small_crops(tmp_path / "validation", identities=("eve", "fay"), seed=1)

    def run(**changes: Any) -> Any:
        fields = {"name": "tiny", "losses": LOSSES, "epochs": 3, **changes}
        recipe = Recipe(
            backbone="small",
            dtype="float32",
            batch_size=8,
            augmentation="light",
            selection={"data": "eve and fay", "metric": "auroc"},
            **fields,
        )
        out = tmp_path / "run"
        return gk.fit(recipe, train, validation, out=out, device="cpu", progress=silent)

    return run


def line(shown: Training, name: str) -> Any:
    (trace,) = [t for t in shown.figure.data if t.name == name]
    return trace


def points(shown: Training, name: str) -> list[float]:
    return [y for y in line(shown, name).y if y is not None]


def status(shown: Training) -> str:
    return str(shown.children[1].children[0].value)


def test_after_each_epoch_every_line_has_a_point_more(fit):
    shown, seen = training(), []
    assert shown.figure is None
    assert "No run yet" in status(shown)

    class Counts:
        @hookimpl
        def gendkit_epoch_ended(self):
            names = ("loss", "cross-entropy", "loss: alignment", "loss: uniformity")
            counts = {len(points(shown, name)) for name in (*names, "validation AUROC")}
            seen.append((counts, len(points(shown, "before")), status(shown)))

    gk.register(Counts)
    run = fit()
    layers = len(run.layers)
    assert [counts for counts, _, _ in seen] == [{1}, {2}, {3}]
    assert [earlier for _, earlier, _ in seen] == [0, layers, 2 * layers]
    assert "1 of 3 epochs" in seen[0][2]
    assert "running" in seen[0][2]
    assert "finished" in status(shown)
    assert points(shown, "loss") == run.history["loss"].tolist()
    assert points(shown, "validation AUROC") == run.history["validation_auroc"].tolist()
    assert list(line(shown, "chosen").x) == [run.record["chosen_epoch"]]


def test_the_points_go_to_the_page_while_the_cell_runs(fit, monkeypatch):
    """What a busy kernel can send: changes of the figure, in messages without an answer."""
    shown, sent = training(), []

    class Sends:
        @hookimpl
        def gendkit_epoch_ended(self):
            sent.append(shown.figure._last_trace_edit_id)

    gk.register(Sends)
    fit()
    assert sent == sorted(set(sent))
    assert len(sent) == 3


def test_cross_entropy_alone_has_no_line_beside_the_whole_loss(fit):
    shown = training()
    fit(losses={"cross-entropy": 1.0})
    titles = [note.text for note in shown.figure.layout.annotations]
    assert titles == ["loss", "validation AUROC", "movement of layer norms"]
    assert "cross-entropy" not in [trace.name for trace in shown.figure.data]


def test_a_later_watch_takes_the_place_of_an_earlier(fit):
    earlier, later = training(), training()
    fit()
    assert earlier.course is None
    assert len(later.course.history) == 3


def test_a_second_run_begins_anew(fit, tmp_path):
    shown = training()
    fit(epochs=2)
    (tmp_path / "run").rename(tmp_path / "first")
    fit(epochs=1, name="second")
    assert len(points(shown, "loss")) == 1
    assert "second" in status(shown)


def test_a_run_and_its_folder_are_shown_as_they_ended(fit, tmp_path):
    run = fit()
    of_run, of_folder = training(run), training(tmp_path / "run")
    assert points(of_run, "loss") == points(of_folder, "loss") == run.history["loss"].tolist()
    latest = line(of_folder, "movement of layer norms")
    assert list(latest.text) == run.layers["layer"].tolist()
    assert points(of_run, "movement of layer norms") == run.layers["weight"].tolist()
    assert len(points(of_folder, "before")) == 2 * len(run.layers)


def test_a_folder_that_grows_is_read_again(fit, tmp_path):
    seen = []

    class Reads:
        @hookimpl
        def gendkit_epoch_ended(self):
            if not seen:
                seen.append(training(tmp_path / "run"))
            seen[0].refresh()
            seen.append(len(points(seen[0], "loss")))

    gk.register(Reads)
    fit()
    assert seen[1:] == [1, 2, 3]
    seen[0].children[1].children[1].click()
    assert "finished" in status(seen[0])


def test_names_are_text(fit):
    shown = training()
    fit(name="<script>alert(1)</script>\x1b")
    assert "<script" not in status(shown)
    assert "&lt;script&gt;" in status(shown)
    assert repr(shown).startswith("Training(")
    assert repr(shown).isprintable()


def test_how_a_run_failed_is_said(fit):
    shown = training()
    with pytest.raises(gk.errors.Diverged):
        fit(learning_rate=1e30, min_learning_rate=1e30)
    assert "failed: Diverged: " in status(shown)


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(MissingMedia, match="no run at"):
        training(tmp_path)


def test_without_plotly_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly", None)
    monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
    with pytest.raises(MissingDependency, match=r"gendkit\[notebook\]"):
        training()

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from gendkit.data.canvas import natural_noise
from gendkit.data.manifest import Manifest
from gendkit.errors import InvalidLabels
from gendkit.measure.probes import (
    MEASURES,
    Probe,
    border_statistics,
    probe_manifest,
    probe_table,
    trivial_probes,
)

SIZE = 96


def crop(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    base = 120 + 30 * natural_noise((SIZE, SIZE), rng)[..., None]
    image = base + rng.normal(0, 3, (SIZE, SIZE, 3)) + rng.normal(0, 8, 3)
    return np.clip(image, 0, 255).astype(np.uint8)


def probed(change: Callable[[np.ndarray], np.ndarray], *, n: int = 40) -> dict[str, Probe]:
    """Probe n people with two real crops each, of which the fakes are changed copies."""
    real = [crop(seed) for seed in range(2 * n)]
    people = [f"p{seed // 2}" for seed in range(2 * n)]
    results = trivial_probes(
        real + [change(image) for image in real],
        [0] * (2 * n) + [1] * (2 * n),
        [""] * (2 * n) + ["test"] * (2 * n),
        people * 2,
        bootstraps=50,
    )
    return {result.probe: result for result in results}


def inside_only(image: np.ndarray) -> np.ndarray:
    changed = image.copy()
    changed[40:60, 40:60] = image[40:60, 40:60][::-1]
    return changed


def shaded_border(image: np.ndarray) -> np.ndarray:
    changed = image.astype(float)
    changed[:, :8] += 25
    return np.clip(changed, 0, 255).astype(np.uint8)


def jpeg(image: np.ndarray) -> np.ndarray:
    encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 40])[1]
    return cv2.imdecode(encoded, cv2.IMREAD_COLOR)


def test_fakes_that_differ_inside_the_face_only_pass_every_probe():
    results = probed(inside_only)
    assert set(results) == {*MEASURES, "border"}
    assert all(result.passed for result in results.values())


@pytest.mark.parametrize(
    ("change", "caught"),
    [
        (lambda image: cv2.GaussianBlur(image, (0, 0), 1.0), ["sharpness", "png-bytes"]),
        (jpeg, ["quantisation", "blockiness", "jpeg-bytes"]),
        (shaded_border, ["border"]),
        (lambda image: np.clip(image.astype(int) + 25, 0, 255).astype(np.uint8), ["border"]),
    ],
    ids=["blur", "jpeg", "border", "brightness"],
)
def test_a_shortcut_is_caught_by_its_probe(change, caught):
    results = probed(change)
    for probe in caught:
        assert results[probe].auroc > 0.75, probe
        assert not results[probe].passed


def test_a_change_outside_the_border_is_invisible_to_the_border_statistics():
    image = crop(1)
    changed = image.copy()
    changed[30:70, 30:70] = 0
    np.testing.assert_array_equal(border_statistics(image), border_statistics(changed))


def test_the_interval_holds_the_estimate_and_shrinks_with_more_people():
    few, many = (probed(lambda i: np.roll(i, 7, axis=0), n=n)["sharpness"] for n in (6, 60))
    for result in (few, many):
        assert result.low <= result.auroc + 0.02
        assert result.high >= result.auroc - 0.02
    assert many.high - many.low < few.high - few.low
    assert many.identities == 60
    assert (many.real, many.fake) == (120, 120)


def test_the_border_classifier_never_sees_the_person_it_judges():
    rng = np.random.default_rng(0)
    crops, labels, families, people = [], [], [], []
    for person in range(30):
        colour = rng.uniform(60, 200, 3)
        for _ in range(4):
            crops.append(np.full((SIZE, SIZE, 3), colour, np.uint8))
            labels.append(person % 2)
            families.append("test" if person % 2 else "")
            people.append(f"p{person}")
    # Colours tell people, not labels: only a leak between folds could score well.
    with pytest.raises(InvalidLabels, match="no real crop shows any of the people"):
        trivial_probes(crops, labels, families, people, bootstraps=5)
    pairs = [f"p{int(name[1:]) // 2}" for name in people]
    results = trivial_probes(crops, labels, families, pairs, bootstraps=5)
    border = next(r for r in results if r.probe == "border")
    assert border.auroc < 0.75


@pytest.mark.parametrize("people", [["a"] * 8, ["a", "a", "b", "b", "a", "a", "a", "a"]])
def test_a_border_that_cannot_be_tried_passes_nothing(people: list[str]) -> None:
    """Of one person, or where whoever is held out leaves one class, nobody knows."""
    label = [0, 0, 0, 0, 1, 1, 1, 1]
    found = trivial_probes(
        [crop(i) for i in range(8)], label, ["x" if one else "" for one in label], people,
        bootstraps=5,
    )  # fmt: skip
    (border,) = [one for one in found if one.probe == "border"]
    assert np.isnan([border.auroc, border.low, border.high]).all()
    assert not border.passed


def test_each_family_is_compared_with_the_real_crops_of_its_people():
    crops = [crop(i) for i in range(8)]
    results = trivial_probes(
        crops + crops[:4],
        [0] * 8 + [1] * 4,
        [""] * 8 + ["a", "a", "b", "b"],
        [f"p{i}" for i in range(8)] + [f"p{i}" for i in range(4)],
        bootstraps=5,
    )
    assert {(r.family, r.real, r.fake, r.identities) for r in results} == {
        ("a", 2, 2, 2),
        ("b", 2, 2, 2),
    }
    table = probe_table(results)
    assert list(table.index) == ["a", "b"]
    assert set(table.columns) == {*MEASURES, "border"}


def test_quantisation_tables_are_a_probe_where_all_files_are_jpegs(tmp_path: Path):
    crops = [crop(i) for i in range(12)]
    files = []
    for number, image in enumerate(crops):
        files.append(tmp_path / f"{number}.jpg")
        Image.fromarray(image).save(files[-1], quality=90 if number < 6 else 60)
    arguments = ([0] * 6 + [1] * 6, [""] * 6 + ["a"] * 6, [f"p{i % 6}" for i in range(12)])
    results = trivial_probes(crops, *arguments, files=files, bootstraps=5)
    assert {r.probe: r.auroc for r in results}["jpeg-tables"] == 1.0
    Image.fromarray(crops[0]).save(tmp_path / "0.png")
    files[0] = tmp_path / "0.png"
    results = trivial_probes(crops, *arguments, files=files, bootstraps=5)
    assert "jpeg-tables" not in {r.probe for r in results}


def test_wrong_labels_and_lengths_are_refused():
    crops = [crop(0), crop(1)]
    with pytest.raises(InvalidLabels, match="real \\(0\\) and fake \\(1\\)"):
        trivial_probes(crops, [1, 1], ["a", "a"], ["p", "q"])
    with pytest.raises(ValueError, match="2 crops came with 1 labels"):
        trivial_probes(crops, [1], ["a", "a"], ["p", "q"])


def test_a_manifest_is_probed_without_its_degraded_clips(tmp_path: Path):
    rows = []
    for number in range(20):
        fake, person = number % 2, number // 2
        for degradation in ("", "blur"):
            name = f"{number}{degradation}.png"
            image = crop(person) if not degradation else np.zeros((SIZE, SIZE, 3), np.uint8)
            Image.fromarray(inside_only(image) if fake else image).save(tmp_path / name)
            rows.append(
                {
                    "sample": name, "path": name, "dataset": "d", "video": name, "label": fake,
                    "family": "a" if fake else "", "target_identity": str(person),
                    "degradation": degradation,
                }
            )  # fmt: skip
    crops = [crop(person) for person in range(10)]
    expected = trivial_probes(
        crops + [inside_only(image) for image in crops],
        [0] * 10 + [1] * 10,
        [""] * 10 + ["a"] * 10,
        [f"d/{person}" for person in range(10)] * 2,
        bootstraps=5,
    )
    found = probe_manifest(Manifest.from_rows(rows, tmp_path), bootstraps=5)
    simple = [(r.probe, r.auroc, r.real, r.fake) for r in found if r.probe != "border"]
    assert simple == [(r.probe, r.auroc, r.real, r.fake) for r in expected if r.probe != "border"]
    assert {r.identities for r in found} == {10}

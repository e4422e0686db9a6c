"""From a key to a spec: by the configuration alone, with the input that the model tells of."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest

from gendkit.errors import InvalidCheckpoint, MissingAsset, UnknownPart
from gendkit.model.backbone import build_backbone
from gendkit.plugin import BackboneSpec, Preprocessing, plugins

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
OPENAI = {
    "mean": (0.48145466, 0.4578275, 0.40821073),
    "std": (0.26862954, 0.26130258, 0.27577711),
}
HALF = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
PLAIN = {"image_mean": None, "image_std": None, "resample": None, "rescale_factor": 1 / 255}
COMMIT = "0123456789abcdef0123456789abcdef01234567"

Write = Callable[..., Path]


def spec(key: str | Path) -> BackboneSpec:
    return plugins().spec("backbone", f"transformers:{key}")


def vision(kind: str, **more: Any) -> dict[str, Any]:
    return {"model_type": kind, "image_size": 64, "patch_size": 16, "hidden_size": 48, **more}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("clip_vision_model", Preprocessing(
            size=64, resize="short-side", interpolation="bicubic", **OPENAI)),
        ("siglip_vision_model", Preprocessing(
            size=64, resize="squash", interpolation="bicubic", **HALF)),
        ("dinov2", Preprocessing(
            size=224, resize="short-side", interpolation="bicubic", **IMAGENET)),
        ("dinov2_with_registers", Preprocessing(
            size=224, resize="short-side", interpolation="bicubic", **IMAGENET)),
        ("dinov3_vit", Preprocessing(
            size=64, resize="squash", interpolation="bilinear", **IMAGENET)),
    ],
)  # fmt: skip
def test_without_a_preprocessor_the_input_is_as_published(
    kind: str, expected: Preprocessing, config_folder: Write
) -> None:
    found = spec(config_folder(vision(kind, num_attention_heads=4)))
    assert found.preprocessing == expected
    assert found.dim == 48


def test_the_input_of_gendkit_s_own_encoders_is_the_same(config_folder: Write) -> None:
    """Of CLIP and DINOv3, by what is published with them."""
    wide = {"hidden_size": 1024, "image_size": 224, "num_attention_heads": 16}
    for kind, name in (("clip_vision_model", "clip-vitl14"), ("dinov3_vit", "dinov3-vitl16")):
        found = spec(config_folder(vision(kind, **wide)))
        ours = plugins().spec("backbone", name)
        assert (found.preprocessing, found.dim) == (ours.preprocessing, ours.dim)


@pytest.mark.parametrize(
    ("told", "size", "resize", "interpolation"),
    [
        ({"size": 48, "crop_size": 32, "do_center_crop": True, "resample": 2},
         32, "short-side", "bilinear"),
        ({"size": {"shortest_edge": 48}, "crop_size": {"height": 32, "width": 32}, "resample": 3},
         32, "short-side", "bicubic"),
        ({"size": {"shortest_edge": 48}, "crop_size": 32, "do_center_crop": False},
         48, "short-side", "bicubic"),
        ({"size": {"height": 32, "width": 32}, "crop_size": None, "do_center_crop": None},
         32, "squash", "bicubic"),
        ({"size": {"height": 48, "width": 48}, "crop_size": 32, "do_center_crop": True},
         32, "squash", "bicubic"),
        ({"size": {"height": 48, "width": 48}, "crop_size": 32}, 48, "squash", "bicubic"),
        ({"size": 48, "do_resize": False}, 64, "short-side", "bicubic"),
    ],
)  # fmt: skip
def test_a_preprocessor_tells_the_size(
    told: Mapping[str, Any], size: int, resize: str, interpolation: str, config_folder: Write
) -> None:
    folder = config_folder(vision("clip_vision_model"), preprocessor_config={**PLAIN, **told})
    found = spec(folder).preprocessing
    assert (found.size, found.resize, found.interpolation) == (size, resize, interpolation)
    assert found.mean == OPENAI["mean"]  # what is null is as published


def test_a_preprocessor_tells_the_colours(config_folder: Write) -> None:
    told = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}
    config = vision("clip_vision_model")
    found = spec(config_folder(config, preprocessor_config=told))
    assert (found.mean, found.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    found = spec(config_folder(config, preprocessor_config={**told, "do_normalize": False}))
    assert (found.mean, found.std) == ((0, 0, 0), (1, 1, 1))


def test_a_processor_of_text_and_images_tells_it_too(config_folder: Write) -> None:
    told = {"image_processor": {"size": {"height": 32, "width": 32}, "image_mean": [0.1] * 3}}
    found = spec(config_folder(vision("clip_vision_model"), processor_config=told))
    assert (found.image_size, found.resize, found.mean) == (32, "squash", (0.1, 0.1, 0.1))


def test_what_transformers_writes_is_read(saved: Callable[[str], Any], tmp_path: Path) -> None:
    import transformers as hf

    saved("clip").tower.save_pretrained(tmp_path)
    hf.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=32).save_pretrained(tmp_path)
    expected = Preprocessing(size=32, resize="short-side", interpolation="bicubic", **OPENAI)
    assert spec(tmp_path).preprocessing == expected


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"resample": 1}, r"resample is 1, expected 2 \(bilinear\) or 3 \(bicubic\)"),
        ({"size": {"height": 32, "width": 48}}, "size is .* expected a number"),
        ({"size": {"longest_edge": 32}}, "size is .* expected a number"),
        ({"do_rescale": False}, "expected by 1/255"),
        ({"rescale_factor": 1 / 127.5}, "expected by 1/255"),
        ({"image_mean": [0.5]}, "not enough values"),
        ([1], "no attribute"),
    ],
)
def test_an_input_that_gendkit_cannot_make_is_refused(
    told: Any, reason: str, config_folder: Write
) -> None:
    folder = config_folder(vision("clip_vision_model"), preprocessor_config=told)
    with pytest.raises(InvalidCheckpoint, match=rf"preprocessor_config\.json.*{reason}"):
        spec(folder)


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlanguage: en\nlicense: apache-2.0\n---\n# A model\n", "apache-2.0"),
        ("---\nlicense: other\nlicense_name: dinov3-license\n---\n", "dinov3-license"),
        ("---\nlicense: 'mit'\n---\n", "mit"),
        ("---\ntags: [x]\n---\nlicense: mit\n", "see the model"),
        ("---\nlicense: \x1b[31mmit\n---\n", "see the model"),
        ("# license: mit", "see the model"),
        (None, "see the model"),
    ],
)
def test_the_licence_is_what_the_model_card_states(
    card: str | None, licence: str, config_folder: Write
) -> None:
    folder = config_folder(vision("clip_vision_model"))
    if card is not None:
        (folder / "README.md").write_text(card)
    assert spec(folder).licence == licence


def test_a_folder_is_named_by_its_whole_path(
    saved: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved("clip").tower.save_pretrained(tmp_path / "my-clip")
    monkeypatch.chdir(tmp_path)
    found = spec("./my-clip")
    assert found.name == f"transformers:{tmp_path / 'my-clip'}"
    assert spec("./there/../my-clip/").name == found.name
    monkeypatch.chdir("/")
    build_backbone(found.name)


def test_resolving_reads_no_weight(config_folder: Write) -> None:
    folder = config_folder(vision("dinov2", num_hidden_layers=40))
    (folder / "model.safetensors").write_text("not weights")
    assert spec(folder).summary == "DINOv2 of Hugging Face, 40 blocks"


def test_a_folder_that_is_not_there_is_told_by_its_whole_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownPart, match=rf"no folder '{tmp_path}/my-clip'.*save_pretrained"):
        spec("./my-clip")
    with pytest.raises(UnknownPart, match=r"has no config\.json; expected config\.json and"):
        spec(tmp_path)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"model_type": "bert"}, "of the type 'bert'; known here are clip, "),
        ({"architectures": []}, "of the type None"),
        (["model_type"], "cannot be read"),
        (vision("clip_vision_model", hidden_size="wide"), "is refused by transformers"),
        (vision("clip_vision_model", hidden_size=7), "is refused by transformers"),
        (vision("siglip_vision_model", vision_use_head=False), "has no pooled feature"),
        (vision("dinov2", quantization_config={"bits": 4}), "is quantised"),
    ],
)
def test_a_model_that_is_none_of_these_is_refused(
    config: Any, reason: str, config_folder: Write
) -> None:
    with pytest.raises(UnknownPart, match=reason):
        spec(config_folder(config))


def test_a_damaged_configuration_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UnknownPart, match=r"config\.json of .* cannot be read"):
        spec(tmp_path)


def test_inputs_that_are_no_squares_are_refused(config_folder: Write) -> None:
    with pytest.raises(InvalidCheckpoint, match=r"a size \[32, 64\]; expected a square"):
        spec(config_folder(vision("dinov2", image_size=[32, 64])))


# --- the model hub -------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache, empty, on a computer that is offline."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub" / "models--someone--clip"


def cached(cache: Path, tower: Any, *, absent: tuple[str, ...] = ()) -> Path:
    """Put a model into the hub's cache, with what the hub once said that it lacks."""
    (cache / "refs").mkdir(parents=True)
    (cache / "refs" / "main").write_text(COMMIT)
    tower.save_pretrained(cache / "snapshots" / COMMIT)
    for name in absent:
        (cache / ".no_exist" / COMMIT).mkdir(parents=True, exist_ok=True)
        (cache / ".no_exist" / COMMIT / name).touch()
    return cache / "snapshots" / COMMIT


def test_a_model_in_the_hub_s_cache_needs_no_hub(cache: Path, saved: Callable[[str], Any]) -> None:
    absent = ("preprocessor_config.json", "processor_config.json")
    folder = cached(cache, saved("clip").tower, absent=absent)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    found = spec("someone/clip")
    assert (found.name, found.licence) == ("transformers:someone/clip", "mit")
    build_backbone(found)


def test_an_input_that_cannot_be_asked_for_is_not_taken_as_published(
    cache: Path, saved: Callable[[str], Any]
) -> None:
    cached(cache, saved("clip").tower)
    with pytest.raises(MissingAsset, match=r"preprocessor_config\.json of someone/clip is neither"):
        spec("someone/clip")


def test_what_is_fetched_is_of_one_commit(
    cache: Path, saved: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved("clip").tower.save_pretrained(tmp_path / "hub-itself", max_shard_size="40KB")
    folder, asked = cache / "snapshots" / COMMIT, []

    def download(repo: str, name: str, *, revision: str | None) -> str:
        asked.append((name, revision))
        if not (tmp_path / "hub-itself" / name).exists():
            response = SimpleNamespace(headers={}, request=None, status_code=404)
            raise huggingface_hub.errors.RemoteEntryNotFoundError("no", response=response)
        folder.mkdir(parents=True, exist_ok=True)
        return str(shutil.copy(tmp_path / "hub-itself" / name, folder))

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    found = spec("someone/clip")
    assert asked[0] == ("config.json", None)
    assert not list(folder.glob("*.safetensors"))
    build_backbone(found)
    assert len(list(folder.glob("*.safetensors"))) > 1
    assert {revision for _, revision in asked[1:]} == {COMMIT}


def test_a_model_that_is_neither_cached_nor_to_be_had_is_told(cache: Path) -> None:
    with pytest.raises(MissingAsset, match=r"config\.json of someone/clip is neither cached nor"):
        spec("someone/clip")


def test_a_key_that_is_no_hub_id_is_refused(cache: Path) -> None:
    with pytest.raises(UnknownPart, match=r"is no id of the model hub; expected OWNER/NAME"):
        spec("a/b/c")


def test_a_folder_does_not_stand_in_for_a_model_of_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "someone" / "clip").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownPart, match=r"write transformers:\./someone/clip"):
        spec("someone/clip")


def hub_says(monkeypatch: pytest.MonkeyPatch, error: str) -> None:
    from huggingface_hub import errors

    response = SimpleNamespace(headers={}, request=None, status_code=404)

    def download(*args: Any, **options: Any) -> Any:
        raise getattr(errors, error)("no", response=response)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        ("RepositoryNotFoundError", UnknownPart, "the model hub has no 'someone/clip'"),
        ("RemoteEntryNotFoundError", UnknownPart, r"has no config\.json: it is none of"),
        ("GatedRepoError", MissingAsset, "accepted its terms"),
        ("HfHubHTTPError", MissingAsset, "neither cached nor to be had"),
    ],
)
def test_what_the_hub_answers_is_told_in_one_line(
    error: str, kind: type[Exception], reason: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub_says(monkeypatch, error)
    with pytest.raises(kind, match=reason) as caught:
        spec("someone/clip")
    assert "\n" not in str(caught.value)

"""The model hub, without one: the folder that is uploaded, and the cache that is read."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import yaml
from huggingface_hub import ModelCard

import gendkit as gk
from gendkit.errors import (
    InvalidAdapter,
    InvalidArgument,
    MissingAsset,
    OutputExists,
    UnwritableOutput,
)
from gendkit.model.adapter import Adapter
from gendkit.model.hub import Measured, card, pull, push, write_repo

REPO, COMMIT = "someone/detector", "0" * 40
RESULTS = (
    Measured(data="Made-up | faces", metric="auroc", value=0.91234, low=0.88, high=0.94),
    Measured(data="other faces", metric="eer", value=0.1),
)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in the layout of the hub's cache, into which uploads go; there is no network."""
    root = tmp_path / "hub"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(root))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    snapshots = root / f"models--{REPO.replace('/', '--')}"

    class Api:
        def create_repo(self, repo: str, *, private: bool, exist_ok: bool) -> None:
            assert (repo, exist_ok) == (REPO, True)
            (snapshots / "refs").mkdir(parents=True)
            (snapshots / "private").write_text(str(private))

        def upload_folder(self, *, repo_id: str, folder_path: Path, commit_message: str) -> Any:
            assert repo_id == REPO
            shutil.copytree(folder_path, snapshots / "snapshots" / COMMIT)
            (snapshots / "refs" / "main").write_text(COMMIT)

            class Info:
                commit_url = f"https://hub/{repo_id}/commit/{COMMIT}#{commit_message}"

            return Info()

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    return snapshots


def test_what_was_pushed_is_pulled(adapter: Adapter, hub: Path):
    url = gk.push(adapter, REPO, licence="mit", results=RESULTS)
    assert url == f"https://hub/{REPO}/commit/{COMMIT}#Adapter {adapter.hash[:12]}"
    assert (hub / "private").read_text() == "True"
    files = {p.name for p in (hub / "snapshots" / COMMIT).iterdir()}
    assert files == {"adapter.safetensors", "README.md"}
    for revision in (None, "main", COMMIT):
        pulled = gk.pull(REPO, revision=revision)
        assert (pulled.hash, pulled.header) == (adapter.hash, adapter.header)
    assert gk.load(pulled, device="cpu").adapter.hash == adapter.hash


def test_more_sections_stand_before_what_the_adapter_belongs_to(adapter: Adapter, tmp_path: Path):
    sections = [("Training data", "32 crops"), ("Known limits", "- one")]
    folder = write_repo(adapter, tmp_path / "repo", name=REPO, licence="mit", sections=sections)
    text = (folder / "README.md").read_text()
    more = "## Training data\n\n32 crops\n\n## Known limits\n\n- one\n\n"
    assert text.replace(more, "") == card(adapter, name=REPO, licence="mit")
    assert f"{more}## What it belongs to" in text


@pytest.mark.parametrize("repo", ["someone/nothing", "not a name", "a/b/c", ""])
def test_what_is_not_to_be_had_is_one_line(hub: Path, repo: str):
    with pytest.raises(MissingAsset, match="neither cached nor to be had") as caught:
        pull(repo)
    assert "\n" not in str(caught.value)


def test_a_revision_that_is_not_there_is_named(adapter: Adapter, hub: Path):
    push(adapter, REPO, licence="mit")
    with pytest.raises(MissingAsset, match="someone/detector at v2 is neither"):
        pull(REPO, revision="v2")


def test_a_damaged_file_is_refused(adapter: Adapter, hub: Path):
    push(adapter, REPO, licence="mit")
    file = hub / "snapshots" / COMMIT / "adapter.safetensors"
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(InvalidAdapter, match="damaged"):
        pull(REPO)


def test_a_hub_that_refuses_is_one_line(adapter: Adapter, monkeypatch: pytest.MonkeyPatch):
    class Api:
        def create_repo(self, *_: object, **__: object) -> None:
            raise RuntimeError("401 Unauthorized.\nRequest id 3")

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    with pytest.raises(UnwritableOutput, match="RuntimeError: 401 Unauthorized") as caught:
        push(adapter, REPO, licence="mit")
    assert "hf auth login" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_holds_what_would_be_pushed(adapter: Adapter, tmp_path: Path):
    folder = write_repo(adapter, tmp_path / "repo", name=REPO, licence="mit")
    assert gk.load(folder, device="cpu").adapter.hash == adapter.hash
    with pytest.raises(OutputExists):
        write_repo(adapter, folder, name=REPO, licence="mit")


def test_the_card_is_one_that_the_hub_reads(adapter: Adapter):
    text = card(adapter, name=REPO, licence="apache-2.0", results=RESULTS)
    data = ModelCard(text).data
    assert (data.license, data.library_name) == ("apache-2.0", "gendkit")
    assert data.pipeline_tag == "image-classification"
    assert "small" in data.tags
    found = [(r.dataset_name, r.metric_type, r.metric_value) for r in data.eval_results]
    assert found == [("Made-up | faces", "auroc", 0.91234), ("other faces", "eer", 0.1)]
    assert "| Made-up \\| faces | auroc | 0.9123 | 0.88–0.94 |" in text


def test_the_card_says_what_the_header_says(adapter: Adapter):
    text = card(adapter, name=REPO, licence="mit")
    header = adapter.header
    for fact in (
        adapter.hash,
        header.backbone_hash,
        header.norms_hash,
        "centerface",
        "386 numbers",
    ):
        assert fact in text
    recipe = text.partition("```yaml\n")[2].partition("```")[0]
    assert yaml.safe_load(recipe) == header.recipe
    assert "None were given" in text
    assert "model-index" not in text


def test_the_card_of_a_soup_names_its_seeds(adapter: Adapter):
    soup = Adapter.average([adapter, adapter])
    text = card(soup, name=REPO, licence="mit")
    recipe = yaml.safe_load(text.partition("```yaml\n")[2].partition("```")[0])
    assert recipe == soup.header.recipe


def test_the_card_of_an_adapter_without_recipe_says_so(adapter: Adapter):
    bare = replace(adapter, header=replace(adapter.header, recipe={}, extraction={}))
    text = card(bare, name=REPO, licence="mit")
    assert "| face crops | unknown |" in text
    assert "```yaml\nunknown\n```" in text


def test_a_licence_is_needed(adapter: Adapter):
    with pytest.raises(InvalidArgument, match="the licence is empty"):
        card(adapter, name=REPO, licence=" ")

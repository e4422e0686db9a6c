"""Specs: what they refuse, and what a family's member is."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from gendkit.errors import InvalidSpec, UnknownPart
from gendkit.plugin import (
    BackboneFamily,
    BackboneSpec,
    DatasetSpec,
    FaceExtractorSpec,
    LossSpec,
    Plugins,
    ResolvedBackbone,
)
from gendkit.plugin.specs import options_of

BACKBONE: dict[str, Any] = {
    "name": "mine",
    "summary": "a backbone",
    "licence": "MIT",
    "dim": 8,
    "image_size": 16,
    "build": print,
}


@pytest.mark.parametrize("name", ["", "My", "my_part", "-my", "my-", "my--part", "my part", "é", 3])
def test_names_are_kebab_case(name: Any):
    with pytest.raises(InvalidSpec, match="kebab-case"):
        LossSpec(name=name, summary="a loss", build=print)


@pytest.mark.parametrize("text", ["", " ", "two\nlines", "red\x1b[31m", "back\x08", "\u202eevil"])
@pytest.mark.parametrize("field", ["summary", "licence"])
def test_texts_with_control_characters_or_without_content_are_refused(field: str, text: str):
    with pytest.raises(InvalidSpec, match=field):
        BackboneSpec(**{**BACKBONE, field: text})


def test_control_characters_are_refused_in_every_text_of_a_spec():
    with pytest.raises(InvalidSpec, match="homepage"):
        DatasetSpec(name="a", summary="b", licence="c", build=print, homepage="\x1b]8;;")
    with pytest.raises(InvalidSpec, match="reference"):
        LossSpec(name="a", summary="b", build=print, reference="one\ntwo")


@pytest.mark.parametrize("spec", [BackboneSpec, FaceExtractorSpec, DatasetSpec, BackboneFamily])
def test_what_brings_weights_or_media_must_have_a_licence(spec: type):
    assert "licence" in spec.__dataclass_fields__
    assert spec.__dataclass_fields__["licence"].default.__class__.__name__ == "_MISSING_TYPE"
    with pytest.raises(InvalidSpec, match="licence must be text, got None"):
        BackboneSpec(**{**BACKBONE, "licence": None})


@pytest.mark.parametrize("field", ["dim", "image_size"])
def test_sizes_are_positive(field: str):
    with pytest.raises(InvalidSpec, match="positive"):
        BackboneSpec(**{**BACKBONE, field: 0})


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("dim", "96", "whole number"),
        ("dim", 96.0, "whole number"),
        ("image_size", (224, 224), "whole number"),
        ("mean", 0.5, "three numbers"),
        ("std", (1.0, 1.0), "three numbers"),
        ("std", (1.0, 1.0, 0.0), "above 0"),
        ("resize", "crop", "'short-side' or 'squash'"),
        ("interpolation", "lanczos", "'bicubic' or 'bilinear'"),
        ("norm_classes", "torch.nn:RMSNorm", "a tuple of 'module:Class'"),
        ("norm_classes", ("torch.nn.RMSNorm",), "a tuple of 'module:Class'"),
        ("norm_classes", (), "a tuple of 'module:Class'"),
    ],
)
def test_a_wrong_fact_of_a_backbone_is_told_with_its_field(field: str, value: Any, expected: str):
    said = rf"backbone '(lib:)?mine': {field} must be .*{expected}.*, got {re.escape(repr(value))}"
    with pytest.raises(InvalidSpec, match=said):
        BackboneSpec(**{**BACKBONE, field: value})
    with pytest.raises(InvalidSpec, match=said):
        ResolvedBackbone(**{**BACKBONE, "name": "lib:mine", field: value})


def test_specs_are_frozen_and_keyword_only():
    spec = BackboneSpec(**BACKBONE)
    with pytest.raises(FrozenInstanceError):
        spec.dim = 9  # type: ignore[misc]
    with pytest.raises(TypeError):
        LossSpec("a", "b", print)  # type: ignore[misc]


def test_the_preprocessing_has_a_digest_that_every_field_changes():
    preprocessing = BackboneSpec(**BACKBONE).preprocessing
    changed = [
        preprocessing,
        preprocessing.at(32),
        replace(preprocessing, mean=(0.1, 0.5, 0.5)),
        replace(preprocessing, std=(0.1, 0.5, 0.5)),
        replace(preprocessing, resize="squash"),
        replace(preprocessing, interpolation="bilinear"),
    ]
    assert len({p.digest for p in changed}) == len(changed)
    assert preprocessing.digest == BackboneSpec(**BACKBONE).preprocessing.digest


def test_what_is_listed_of_a_spec_holds_no_function():
    listed = options_of(BackboneSpec(**BACKBONE))
    assert listed["dim"] == 8
    assert "build" not in listed
    assert "canonical" not in listed


def family(name: str = "lib") -> BackboneFamily:
    def resolve(key: str) -> ResolvedBackbone:
        if key != "small/v1":
            raise UnknownPart(f"lib has no {key!r}.")
        return ResolvedBackbone(**{**BACKBONE, "name": f"lib:{key}"})

    return BackboneFamily(
        name=name, pattern=f"{name}:NAME", summary="all of lib", licence="see the model",
        resolve=resolve,
    )  # fmt: skip


def test_a_member_of_a_family_is_resolved_with_the_familys_source():
    found = Plugins(discover=False)
    found.register(family())
    part = found.part("backbone", "lib:small/v1")
    assert part.name == "lib:small/v1"
    assert part.spec == ResolvedBackbone(**{**BACKBONE, "name": "lib:small/v1"})
    assert part.source.plugin == "lib"


@pytest.mark.parametrize("name", ["lib", "lib:", "lib:none", "libs:small/v1"])
def test_a_family_without_a_member_is_unknown(name: str):
    found = Plugins(discover=False)
    found.register(family())
    with pytest.raises(UnknownPart):
        found.part("backbone", name)


def test_a_family_is_written_as_its_name_and_a_key():
    with pytest.raises(InvalidSpec, match="pattern must start with 'lib:'"):
        replace(family(), pattern="other:NAME")
    with pytest.raises(InvalidSpec, match="FAMILY:KEY"):
        ResolvedBackbone(**BACKBONE)
    with pytest.raises(InvalidSpec, match="name"):
        ResolvedBackbone(**{**BACKBONE, "name": "lib:\x1b"})


def test_an_unknown_part_comes_with_the_closest_names():
    with pytest.raises(UnknownPart, match="no backbone is named 'dinov2-vits-14'; there is dinov2"):
        Plugins(discover=False).part("backbone", "dinov2-vits-14")

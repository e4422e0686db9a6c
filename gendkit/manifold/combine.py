"""Stores of several runs as one Dataset, if their embeddings lie on one sphere."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import xarray as xr

from gendkit.errors import InvalidEmbeddings
from gendkit.manifold.schema import SCHEMA, attributed, text_of, validate
from gendkit.manifold.store import ADAPTER

ALIKE = ("backbone_hash", "preprocessing_digest", ADAPTER)
"""Attributes that must be the same; where one is not known, it is believed."""
COMBINED = "combined"


def combine(datasets: Sequence[xr.Dataset], *, unlike: bool = False) -> xr.Dataset:
    """Join Datasets along `sample`.

    Variables that not all of them have are left out, and so are neighbours, votes, maps and drift,
    which are of one Dataset. Attributes that differ become the JSON list `combined`, one entry a
    Dataset.

    Parameters
    ----------
    datasets
        Of one run or several.
    unlike
        Also join embeddings of different backbones, preprocessing or adapters, whose distances say
        nothing.

    Raises
    ------
    InvalidEmbeddings
        If there is none, they are unlike, their embeddings have different lengths, or a sample
        occurs in two.
    """
    if not datasets:
        raise InvalidEmbeddings("there is no Dataset to combine; give one or more.")
    for name in () if unlike else ALIKE:
        values = {str(v) for ds in datasets if (v := ds.attrs.get(name))}
        if len(values) > 1:
            one, other = sorted(values)[:2]
            raise InvalidEmbeddings(
                f"embeddings with {name} {one[:12]} and {other[:12]} do not lie on one sphere; "
                "embed all with one detector, or give unlike=True."
            )
    lengths = {ds.sizes["feature"] for ds in datasets}
    if len(lengths) > 1:
        raise InvalidEmbeddings(
            f"embeddings have lengths {', '.join(map(str, sorted(lengths)))}; give those of one "
            "backbone."
        )
    own = {variable.name for variable in SCHEMA if variable.of_one}
    shared = [
        str(name)
        for name in datasets[0].data_vars
        if name not in own and all(name in ds.data_vars for ds in datasets)
    ]
    _check_samples(datasets)
    joined: xr.Dataset = xr.concat(
        [ds[shared] for ds in datasets], dim="sample", data_vars="minimal", coords="minimal",
        compat="equals", join="exact", combine_attrs="drop",
    )  # fmt: skip
    return attributed(validate(joined.assign_attrs(_attributes(datasets))))


def _check_samples(datasets: Sequence[xr.Dataset]) -> None:
    names, counts = np.unique(
        np.concatenate([text_of(ds["sample"]) for ds in datasets]), return_counts=True
    )
    twice = [str(name) for name in names[counts > 1]]
    if twice:
        raise InvalidEmbeddings(
            f"sample {twice[0]!r} occurs in two of them; leave one out, such as by "
            "ds.sel(sample=...)."
        )


def _attributes(datasets: Sequence[xr.Dataset]) -> dict[str, object]:
    """Return what all say, and what each says by itself."""
    names = list(dict.fromkeys(str(name) for ds in datasets for name in ds.attrs))
    differ = [n for n in names if len({json.dumps(ds.attrs.get(n)) for ds in datasets}) > 1]
    alike = {n: datasets[0].attrs[n] for n in names if n not in differ}
    if not differ:
        return alike
    each = [{n: ds.attrs[n] for n in differ if n in ds.attrs} for ds in datasets]
    return {**alike, COMBINED: json.dumps(each, sort_keys=True)}

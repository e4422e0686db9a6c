"""`ds.gend`: what gendkit knows of a Dataset of embeddings, beside the Dataset itself."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from gendkit.errors import UnwritableOutput
from gendkit.manifold.schema import SCHEMA, validate
from gendkit.optional import require
from gendkit.output import check_new_file, part_of

NESTED = ("preprocessing", "recipe", "plugins", "extraction")
CONVERSIONS = "gendkit_conversions"


@xr.register_dataset_accessor("gend")  # type: ignore[no-untyped-call]
class Gend:
    """Reached as `ds.gend`, once a part of gendkit that works with embeddings was used.

    Parameters
    ----------
    ds
        Embeddings; see `gendkit.manifold.schema`.
    """

    def __init__(self, ds: xr.Dataset) -> None:
        self._ds = ds

    def describe(self) -> pd.DataFrame:
        """Return one row a variable that is there: `dims`, `dtype`, `unit`, `meaning`, `shape`.

        A variable of one's own has no meaning that gendkit knows, but may say one in its
        attributes.
        """
        known = {variable.name: variable for variable in SCHEMA}
        order = [name for name in known if name in self._ds.variables]
        rows = {}
        for name in (*order, *(str(n) for n in self._ds.variables if n not in known)):
            array, schema = self._ds.variables[name], known.get(name)
            rows[name] = {
                "dims": ", ".join(map(str, array.dims)),
                "dtype": schema.dtype if schema else str(array.dtype),
                "unit": schema.unit if schema else str(array.attrs.get("units", "")),
                "meaning": schema.meaning if schema else str(array.attrs.get("meaning", "")),
                "shape": array.shape,
            }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("variable")

    def validate(self) -> xr.Dataset:
        """Return the Dataset if it keeps to the schema.

        Raises
        ------
        InvalidEmbeddings
            See `gendkit.manifold.schema.validate`.
        """
        return validate(self._ds)

    @property
    def custody(self) -> Mapping[str, Any]:
        """What the numbers rest on: the attributes, those that are JSON read."""
        attributes = {str(name): value for name, value in self._ds.attrs.items()}
        for name in NESTED:
            if isinstance(attributes.get(name), str):
                attributes[name] = json.loads(attributes[name])
        return MappingProxyType(attributes)

    def to_netcdf(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write one NetCDF-4 file, for programs that do not read zarr.

        Real numbers become float32, truth values int8, and text has variable length; the attribute
        `gendkit_conversions` names what was changed.

        Raises
        ------
        OutputExists
            If there is a file and `overwrite` is false, or a folder.
        UnwritableOutput
            If it cannot be written.
        MissingDependency
            If the extra `netcdf` is not installed.
        """
        path = Path(path)
        check_new_file(path, overwrite=overwrite)
        require("h5netcdf", extra="netcdf")
        ds, changed = _narrow(self._ds)
        ds.attrs[CONVERSIONS] = "; ".join(changed) or "none"
        part = part_of(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            ds.to_netcdf(part, engine="h5netcdf")
            os.replace(part, path)
        except OSError as error:
            raise UnwritableOutput(
                f"{path} cannot be written: {error.strerror or error}; give another place."
            ) from None
        finally:
            part.unlink(missing_ok=True)
        return path


def _narrow(ds: xr.Dataset) -> tuple[xr.Dataset, list[str]]:
    """Return a Dataset with types that NetCDF has, and what was changed."""
    out, changed = ds.drop_encoding().load(), []
    for name in out.variables:
        dtype = out[name].dtype
        wanted = {"f": np.float32, "b": np.int8}.get(dtype.kind)
        if wanted is not None and dtype != wanted:
            out[name] = out[name].astype(wanted)
            changed.append(f"{name} was {dtype}, is {np.dtype(wanted)}")
        elif dtype.kind in "TU":
            out[name] = out[name].astype(object)
    return out, changed

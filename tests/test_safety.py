"""What strangers give: no file runs code, no plugin's words give orders."""

from __future__ import annotations

import ast
import hashlib
import io
import json
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet as parquet
import pytest
import torch
import xarray as xr

import gendkit as gk
from gendkit.data.manifest import Manifest
from gendkit.data.packed import HEADER, MAGIC, PackedCrops
from gendkit.errors import (
    CorruptCheckpoint,
    GendkitError,
    InvalidAdapter,
    InvalidCheckpoint,
    InvalidEmbeddings,
    InvalidManifest,
    UnreadableMedia,
)
from gendkit.manifold.index import open_index
from gendkit.manifold.schema import validate
from gendkit.manifold.store import open_embeddings
from gendkit.model.adapter import Adapter
from gendkit.model.gend import find_gend, read_ckpt
from gendkit.testing.small import small_crops
from gendkit.train.checkpoint import Checkpoint

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted([*ROOT.glob("gendkit/**/*.py"), *ROOT.glob("plugins/*/gendkit_*/**/*.py")])
UNPICKLERS = {"pickle", "_pickle", "cPickle", "dill", "joblib", "cloudpickle", "marshal", "shelve"}
NAMED = {
    ("gendkit/model/gend.py", "import pickle"): "for the error that torch.load raises alone",
    ("gendkit/data/fingerprint.py", "import cloudpickle"): "hashed, never loaded",
    (
        "plugins/gendkit-benchmarks/gendkit_benchmarks/rows.py",
        "yaml.load()",
    ): "by yaml's SafeLoader, in C where it is there",
    **{
        ("gendkit/processes.py", danger): "a call of this process's own to its own child"
        for danger in ("import cloudpickle", "import pickle", "pickle.loads()")
    },
    **{
        (f"gendkit/testing/{kind}_rules.py", danger): "a part that the kit itself pickled just now"
        for kind in ("backbone", "dataset")
        for danger in ("import pickle", "pickle.loads()")
    },
}


# --- the source -----------------------------------------------------------------------------------


def dangers(tree: ast.AST) -> Iterator[str]:
    """Name what can run code that is in data."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            named = [a.name for a in node.names]
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else named
            for module in modules:
                if module.partition(".")[0] in UNPICKLERS:
                    yield f"import {module}"
        if isinstance(node, ast.Call):
            yield from _calls(node)


def _calls(node: ast.Call) -> Iterator[str]:
    name = ast.unparse(node.func)
    given = {k.arg: k.value for k in node.keywords}
    last = name.rpartition(".")[2]
    if name in {"eval", "exec", "compile", "__import__", "os.system", "os.popen"}:
        yield f"{name}()"
    if last == "read_pickle" or (name.partition(".")[0] in UNPICKLERS and "load" in last):
        yield f"{name}()"
    if name in {"torch.load", "torch.hub.load"} and not _is(given.get("weights_only"), True):
        yield f"{name}() without weights_only=True"
    if "allow_pickle" in given and not _is(given["allow_pickle"], False):
        yield f"{name}(allow_pickle)"
    if "trust_remote_code" in given and not _is(given["trust_remote_code"], False):
        yield f"{name}(trust_remote_code)"
    if name.startswith("yaml.") and last in ("load", "load_all", "full_load", "unsafe_load"):
        yield f"{name}()"
    if "shell" in given and not _is(given["shell"], False):
        yield f"{name}(shell)"


def _is(node: ast.expr | None, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


@pytest.mark.parametrize(
    "code",
    [
        "import pickle", "from dill import loads", "import joblib.numpy_pickle", "import marshal",
        "torch.load(p)", "torch.load(p, weights_only=False)", "np.load(p, allow_pickle=True)",
        "np.load(p, allow_pickle=x)", "yaml.load(t)", "yaml.load(t, Loader=yaml.Loader)",
        "yaml.unsafe_load(t)", "eval(t)", "exec(t)", "subprocess.run(c, shell=True)",
        "os.system(c)", "pd.read_pickle(p)", "AutoModel.from_pretrained(n, trust_remote_code=True)",
    ],
)  # fmt: skip
def test_what_runs_code_in_data_is_seen(code: str) -> None:
    assert list(dangers(ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    [
        "torch.load(p, weights_only=True)", "np.load(p)", "np.load(p, allow_pickle=False)",
        "yaml.safe_load(t)", "subprocess.run(c)", "module.eval()", "json.loads(t)",
    ],
)  # fmt: skip
def test_what_only_reads_is_not(code: str) -> None:
    assert not list(dangers(ast.parse(code)))


def test_no_source_runs_code_that_is_in_data() -> None:
    assert len(SOURCES) > 150
    found = {
        (path.relative_to(ROOT).as_posix(), danger)
        for path in SOURCES
        for danger in dangers(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert found == set(NAMED)


# --- files ----------------------------------------------------------------------------------------


class Bomb:
    """Unpickled, it makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.marker),))


@pytest.fixture
def bomb(tmp_path: Path) -> Iterator[Bomb]:
    """One that must not have gone off."""
    made = Bomb(tmp_path / "marker")
    yield made
    assert not made.marker.exists()


def test_the_bomb_goes_off_when_it_is_unpickled(tmp_path: Path) -> None:
    made = Bomb(tmp_path / "marker")
    pickle.loads(pickle.dumps(made))
    assert made.marker.exists()


def pickles(bomb: Bomb) -> dict[str, bytes]:
    """Return files as pickle, torch and numpy write them."""
    new, old, numpy = io.BytesIO(), io.BytesIO(), io.BytesIO()
    torch.save({"state_dict": bomb}, new)
    torch.save({"state_dict": bomb}, old, _use_new_zipfile_serialization=False)
    np.save(numpy, np.array([bomb], dtype=object), allow_pickle=True)
    plain = {f"pickle {n}": pickle.dumps(bomb, protocol=n) for n in (0, 2, 5)}
    return {**plain, "torch": new.getvalue(), "old torch": old.getvalue(), "npy": numpy.getvalue()}


KINDS = ("pickle 0", "pickle 2", "pickle 5", "torch", "old torch", "npy")


@pytest.mark.parametrize("kind", KINDS)
def test_no_adapter_is_unpickled(kind: str, bomb: Bomb, tmp_path: Path) -> None:
    file = tmp_path / "adapter.safetensors"
    file.write_bytes(pickles(bomb)[kind])
    for read in (Adapter.read, gk.load):
        with pytest.raises(InvalidAdapter):
            read(file)
        with pytest.raises(InvalidAdapter):
            read(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_no_checkpoint_of_a_run_is_unpickled(kind: str, bomb: Bomb, tmp_path: Path) -> None:
    file = tmp_path / ".run-checkpoint.safetensors"
    file.write_bytes(pickles(bomb)[kind])
    with pytest.raises(CorruptCheckpoint):
        Checkpoint.read(file)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "model.ckpt"])
def test_no_model_is_unpickled(name: str, kind: str, bomb: Bomb, tmp_path: Path) -> None:
    config = {"backbone": "openai/clip-vit-large-patch14", "head": "LinearNorm"}
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    (folder / name).write_bytes(pickles(bomb)[kind])
    source = folder / name if name.endswith(".ckpt") else folder
    with pytest.raises(GendkitError):
        gk.load(source)
    if name != "pytorch_model.bin":  # which is nothing that is looked for
        with pytest.raises(InvalidCheckpoint):
            find_gend(source)
    if name != "model.safetensors":
        with pytest.raises(InvalidCheckpoint):
            read_ckpt(folder / name)


@pytest.mark.parametrize(
    "root", ["", "{}", "null", '{"zarr_format": 2, "node_type": "group"}',
             '{"zarr_format": 3, "node_type": "group"}']
)  # fmt: skip
@pytest.mark.parametrize("dtype", ["<f4", "|O"])
def test_no_filter_of_an_older_store_unpickles(
    root: str, dtype: str, bomb: Bomb, tmp_path: Path
) -> None:
    (tmp_path / ".zgroup").write_text('{"zarr_format": 2}')
    (tmp_path / "zarr.json").write_text(root)
    for name, dims in (("sample", ["sample"]), ("embedding", ["sample", "feature"])):
        array = tmp_path / name
        array.mkdir()
        about = {
            "zarr_format": 2, "shape": [2] * len(dims), "chunks": [2] * len(dims), "dtype": dtype,
            "compressor": None, "fill_value": None, "order": "C",
            "filters": [{"id": "pickle", "protocol": 5}],
        }  # fmt: skip
        (array / ".zarray").write_text(json.dumps(about))
        (array / ".zattrs").write_text(json.dumps({"_ARRAY_DIMENSIONS": dims}))
        (array / ".".join("0" * len(dims))).write_bytes(pickle.dumps(bomb))
    with pytest.raises(InvalidEmbeddings):
        open_embeddings(tmp_path)


@pytest.mark.parametrize("codec", ["pickle", "numcodecs.pickle", "bytes"])
@pytest.mark.parametrize("dtype", ["float32", "string"])
def test_no_codec_of_a_store_unpickles(codec: str, dtype: str, bomb: Bomb, tmp_path: Path) -> None:
    (tmp_path / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group"}')
    for name, dims in (("sample", ["sample"]), ("embedding", ["sample", "feature"])):
        (tmp_path / name / "c").mkdir(parents=True)
        about = {
            "zarr_format": 3, "node_type": "array", "shape": [2] * len(dims), "data_type": dtype,
            "chunk_grid": {
                "name": "regular", "configuration": {"chunk_shape": [2] * len(dims)}
            },
            "chunk_key_encoding": {"name": "default"}, "fill_value": 0 if dtype != "string" else "",
            "codecs": [{"name": codec, "configuration": {}}], "dimension_names": dims,
        }  # fmt: skip
        (tmp_path / name / "zarr.json").write_text(json.dumps(about))
        chunk = tmp_path.joinpath(name, "c", *"0" * len(dims))
        chunk.parent.mkdir(parents=True, exist_ok=True)
        chunk.write_bytes(pickle.dumps(bomb))
    with pytest.raises((GendkitError, ValueError, TypeError)):  # raw numbers of the wrong length
        open_embeddings(tmp_path).load()


def test_nothing_in_netcdf_is_unpickled(bomb: Bomb, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    data = np.frombuffer(pickle.dumps(bomb), np.uint8)
    with h5py.File(tmp_path / "embeddings.nc", "w") as file:
        file["embedding"] = data
        file["opaque"] = np.void(data.tobytes())
        file.attrs["crops"] = np.void(data.tobytes())
        file.attrs["made_by"] = data
    with xr.open_dataset(
        tmp_path / "embeddings.nc", engine="h5netcdf", phony_dims="sort", decode_times=False,
        drop_variables="opaque",
    ) as found:  # fmt: skip
        found.load()
        with pytest.raises(InvalidEmbeddings):
            validate(found)


@pytest.mark.parametrize("kind", KINDS)
def test_no_index_is_unpickled(kind: str, bomb: Bomb, tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    about = {"kind": "flat", "factory": "Flat", "reference_hash": "", "recall": 1.0, "count": 1}
    (tmp_path / "index.faiss").write_bytes(pickles(bomb)[kind])
    for text in (json.dumps(about).encode(), pickles(bomb)[kind]):
        (tmp_path / "index.json").write_bytes(text)
        with pytest.raises(InvalidEmbeddings):
            open_index(tmp_path, xr.Dataset())


def crafted(schema: pyarrow.Schema, bomb: Bomb) -> pyarrow.Schema:
    """Return a schema in which what pandas and pyarrow once unpickled is a bomb."""
    loaded = pickle.dumps(bomb, protocol=0)
    extension = {
        "ARROW:extension:name": "arrow.py_extension_type", "ARROW:extension:metadata": loaded,
    }  # fmt: skip
    told = {
        "index_columns": ["sample"],
        "columns": [
            {"name": name, "field_name": name, "pandas_type": "object", "numpy_type": "object",
             "metadata": {"encoding": "pickle", "data": loaded.decode("latin-1")}}
            for name in schema.names
        ],
        "column_indexes": [{"name": None, "field_name": None, "pandas_type": "pickle",
                            "numpy_type": "pickle", "metadata": {"encoding": "pickle"}}],
    }  # fmt: skip
    fields = [field.with_metadata(extension) for field in schema]
    about = {**(schema.metadata or {}), b"pandas": json.dumps(told).encode()}
    return pyarrow.schema(fields, metadata=about)


def test_nothing_in_a_manifest_is_unpickled(bomb: Bomb, tmp_path: Path) -> None:
    expected = small_crops(tmp_path)
    file = tmp_path / "manifest.parquet"
    table = parquet.read_table(file)
    parquet.write_table(table.cast(crafted(table.schema, bomb)), file)
    try:
        found = Manifest.read(file)
    except GendkitError:
        return
    assert found.table["sample"].tolist() == expected.table["sample"].tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_no_manifest_is_unpickled(kind: str, bomb: Bomb, tmp_path: Path) -> None:
    (tmp_path / "manifest.parquet").write_bytes(pickles(bomb)[kind])
    with pytest.raises(InvalidManifest):
        Manifest.read(tmp_path)


@pytest.mark.parametrize("kind", [*KINDS, "parquet"])
def test_no_pack_is_unpickled(kind: str, bomb: Bomb, tmp_path: Path) -> None:
    if kind == "parquet":
        buffer = io.BytesIO()
        table = pyarrow.table({"path": ["a.png"]})
        parquet.write_table(table.cast(crafted(table.schema, bomb)), buffer)
        index = buffer.getvalue()
    else:
        index = pickles(bomb)[kind]
    digest = hashlib.sha256(index).digest()
    (tmp_path / "crops.pack").write_bytes(HEADER.pack(MAGIC, HEADER.size, digest) + index)
    if kind == "parquet":  # of which nothing but the path is taken
        assert len(PackedCrops(tmp_path / "crops.pack")) == 1
        return
    with pytest.raises(UnreadableMedia):
        PackedCrops(tmp_path / "crops.pack")

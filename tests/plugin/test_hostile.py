"""What a plugin says, or fails with, gives no orders to a terminal and no markup to a page."""

from __future__ import annotations

import importlib
import json
import logging
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from gendkit.cli import main
from gendkit.plugin.manager import Plugins, plugins
from gendkit.testing.small import registered, small_backbone, small_crops, small_detector

ORDERS = (
    "told\x1b[31mred\x1b]8;;http://bad.example\x1b\\link\x1b]8;;\x07\rback\x08\x9b2J\u202etxt\u2066"
    "\u200f</style></script><script>alert(1)</script><img src=x onerror=alert(1)>"
)
MARKUP = "</style></td><script>alert(1)</script><img src=x onerror=alert(1)>"
Run = Callable[..., str]


def orders(text: str) -> set[str]:
    """Return what a terminal obeys in a text, or what turns its direction."""
    return {c for c in text if not c.isprintable() and c not in "\n"}


class Elements(HTMLParser):
    """Collects elements, and attributes that a browser runs."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {tag, *(name for name, _ in attrs if name.startswith("on"))}


def elements(page: str) -> set[str]:
    parser = Elements()
    parser.feed(page)
    return parser.found


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder for packages, in which `hostile` is a module."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    plugins.cache_clear()
    yield folder
    sys.modules.pop("hostile", None)
    plugins.cache_clear()


def put(site: Path, code: str, *, name: str = "hostile", version: str = "1") -> None:
    """Install a distribution whose one plugin is the module `hostile`."""
    (site / "hostile.py").write_text(
        "from gendkit.plugin import *\nfrom gendkit.plugin import hookimpl\n"
        f"ORDERS = {ORDERS!r}\n{textwrap.dedent(code)}",
        encoding="utf-8",
    )
    info = site / "hostile-1.dist-info"
    info.mkdir()
    about = f"Metadata-Version: 2.1\nName: hostile{version}\nVersion: {version}\n"
    (info / "METADATA").write_text(about, encoding="utf-8", newline="")
    (info / "entry_points.txt").write_text(f"[gendkit]\n{name} = hostile\n", newline="")
    sys.modules.pop("hostile", None)
    importlib.invalidate_caches()


@pytest.fixture
def said(capfd: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """A function that runs a command and returns what it wrote, which holds no orders."""
    loggers = [logging.getLogger(name) for name in (None, "gendkit", "huggingface_hub")]
    handlers, levels = loggers[0].handlers[:], [logger.level for logger in loggers]

    def run(*arguments: object, code: int = 1) -> str:
        capfd.readouterr()
        assert main([str(a) for a in arguments]) == code
        captured = capfd.readouterr()
        text = captured.out + captured.err
        assert not orders(text), text
        return text

    yield run
    loggers[0].handlers[:] = handlers
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


HOOKS = {
    "import": "raise ValueError(ORDERS)",
    "exit at import": "raise SystemExit(ORDERS)",
    "kind": "class Odd(Exception): pass\nOdd.__name__ = ORDERS\nraise Odd('x')",
    "hook": "@hookimpl\ndef gendkit_losses():\n    raise ValueError(ORDERS)",
    "later": "@hookimpl\ndef gendkit_losses():\n    yield from ()\n    raise ValueError(ORDERS)",
    "no spec": "@hookimpl\ndef gendkit_losses():\n    return [type(ORDERS, (), {})()]",
    "loss": "@hookimpl\ndef gendkit_losses():\n"
    "    yield LossSpec(name='x', summary=ORDERS, build=lambda: None)",
    "reference": "@hookimpl\ndef gendkit_losses():\n"
    "    yield LossSpec(name='x', summary='x', reference=ORDERS, build=lambda: None)",
    "name": "@hookimpl\ndef gendkit_losses():\n"
    "    yield LossSpec(name=ORDERS, summary='x', build=lambda: None)",
    "licence": "@hookimpl\ndef gendkit_datasets():\n"
    "    yield DatasetSpec(name='x', summary='x', licence=ORDERS, build=lambda root: None)",
    "homepage": "@hookimpl\ndef gendkit_datasets():\n"
    "    yield DatasetSpec(name='x', summary='x', licence='x', homepage=ORDERS, "
    "build=lambda root: None)",
    "pattern": "@hookimpl\ndef gendkit_backbones():\n"
    "    yield BackboneFamily(name='x', summary='x', licence='x', pattern=ORDERS, "
    "resolve=lambda key: None)",
}


@pytest.mark.parametrize("code", HOOKS.values(), ids=HOOKS)
def test_a_plugin_with_orders_is_set_aside_without_them(code: str, site: Path, said: Run) -> None:
    put(site, code)
    assert "set aside: hostile" in said("plugins", "list", code=0)
    (broken,) = json.loads(said("plugins", "list", "--json", code=0))["broken"]
    assert broken["plugin"] == "hostile"
    assert not orders(broken["reason"])
    assert elements(plugins()._repr_html_()) <= {
        "div", "strong", "table", "tbody", "thead", "tr", "th", "td",
    }  # fmt: skip
    assert not orders(plugins()._repr_html_())
    assert not orders(said("train", "x", "--train", "a", "--val", "b", "--out", "c"))
    assert not orders(said("extract", "nowhere:x", site / "crops"))


PLAIN = """
@hookimpl
def gendkit_losses():
    yield LossSpec(name="hostile", summary="a loss", build=lambda: None)
"""


def test_names_of_plugin_and_distribution_hold_no_orders(site: Path, said: Run) -> None:
    put(site, PLAIN, name="host\x1b[2J\u202eile", version="1\x1b[31m\u202e\x9b<script>")
    listed = said("plugins", "list", code=0)
    assert "\\x1b[31m\\u202e" in listed
    parts = json.loads(said("plugins", "list", "--json", code=0))["parts"]
    (part,) = [p for p in parts if p["name"] == "hostile"]
    assert not orders("".join(str(value) for value in part.values()))
    page = plugins()._repr_html_()
    assert not orders(page)
    assert "script" not in elements(page)


def test_a_name_given_twice_is_told_without_orders(site: Path, said: Run) -> None:
    twice = PLAIN.replace('"hostile"', '"uniformity"')
    put(site, twice, name="host\x1b[2Jile", version="1\x1b[31m")
    assert "two plugins give the loss 'uniformity'" in said("plugins", "list")


MARKED = f"""
MARKUP = {MARKUP!r}

@hookimpl
def gendkit_losses():
    yield LossSpec(name="hostile", summary=MARKUP, reference=MARKUP, build=lambda: None)

@hookimpl
def gendkit_datasets():
    yield DatasetSpec(name="hostile", summary=MARKUP, licence=MARKUP, homepage=MARKUP,
                      build=lambda root: None)

@hookimpl
def gendkit_backbones():
    yield BackboneFamily(name="hostile", summary=MARKUP, licence=MARKUP,
                         pattern="hostile:" + MARKUP, resolve=lambda key: None)
"""


def test_markup_in_what_a_part_declares_is_text_in_a_notebook(site: Path) -> None:
    put(site, MARKED, version="1<script>alert(1)</script>")
    found = Plugins()
    assert not found.broken
    page = found._repr_html_()
    assert "&lt;script&gt;alert(1)" in page
    assert not elements(page) & {"script", "img", "style", "onerror"}


def test_markup_in_an_adapter_s_words_is_text_on_its_cards() -> None:
    spec = small_backbone()
    with registered(spec):
        detector = small_detector(spec)
        header = replace(
            detector.adapter.header,
            backbone=MARKUP,
            source=MARKUP + ORDERS,
            recipe={"name": MARKUP, "losses": {MARKUP: 1.0}},
            extraction={"extractor": MARKUP + ORDERS, "scale": MARKUP},
        )
        detector.adapter = replace(detector.adapter, header=header)
        for shown in (detector, detector.adapter):
            page = shown._repr_html_()
            assert not orders(page)
            assert not elements(page) & {"script", "img", "style", "onerror"}
            assert not orders(repr(shown))


FAILING = """
def fails(*arguments, **options):
    raise ERROR(ORDERS)

class Clips:
    def clips(self):
        raise ERROR(ORDERS)

def built(*arguments, **options):
    return Clips() if KIND == "dataset" else fails

build = fails if WHEN == "build" else built

@hookimpl
def gendkit_losses():
    yield LossSpec(name="hostile", summary="x", build=lambda: build())

@hookimpl
def gendkit_datasets():
    yield DatasetSpec(name="hostile", summary="x", licence="x", build=build)

@hookimpl
def gendkit_face_extractors():
    yield FaceExtractorSpec(name="hostile", summary="x", licence="x", threshold=0.5,
                            build=lambda **options: build())

@hookimpl
def gendkit_backbones():
    yield BackboneSpec(name="hostile", summary="x", licence="x", dim=4, image_size=8, build=fails)
    yield BackboneFamily(name="hostiles", summary="x", licence="x", pattern="hostiles:KEY",
                         resolve=fails)

@hookimpl
def gendkit_fit_started(run):
    raise ERROR(ORDERS)
"""


@pytest.fixture(params=["ValueError", "SystemExit", "PluginError"])
def failing(request: pytest.FixtureRequest, site: Path) -> Callable[[str, str], None]:
    """A function that installs a plugin whose parts fail when they are built, or called."""

    def install(kind: str, when: str) -> None:
        first = f"from gendkit.errors import PluginError\nKIND, WHEN = {kind!r}, {when!r}\n"
        put(site, f"{first}ERROR = {request.param}\n{FAILING}")

    return install


@pytest.mark.parametrize("when", ["build", "call"])
@pytest.mark.parametrize("kind", ["dataset", "face-extractor"])
def test_what_fails_in_an_extraction_is_told_without_orders(
    kind: str, when: str, failing: Callable[[str, str], None], said: Run, tmp_path: Path
) -> None:
    from PIL import Image

    failing(kind, when)
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    out = tmp_path / "crops"
    if kind == "dataset":
        text = said("extract", "hostile", out)
    else:
        text = said("extract", tmp_path / "a.png", out, "--extractor", "hostile")
        if (out / "manifest.parquet").is_file():
            from gendkit.data.manifest import Manifest

            (reason,) = Manifest.read(out).table["reason"]
            assert not orders(reason)
            text += reason
    assert "told" in text


@pytest.mark.parametrize("when", ["build", "call"])
@pytest.mark.parametrize("kind", ["loss", "backbone", "family", "tracker"])
def test_what_fails_in_a_training_is_told_without_orders(
    kind: str, when: str, failing: Callable[[str, str], None], said: Run, tmp_path: Path
) -> None:
    failing(kind, when)
    for name, people in (("train", ("ann", "bob")), ("val", ("cem", "dee"))):
        (tmp_path / name).mkdir()
        small_crops(tmp_path / name, identities=people, frames=2)
    recipe = {
        "name": "r", "backbone": "small", "dtype": "float32", "batch_size": 4, "epochs": 1,
        "learning_rate": 1e-3, "selection": {"data": "d", "metric": "auroc"},
        "augmentation": "none", "losses": {"cross-entropy": 1.0},
    }  # fmt: skip
    if kind == "loss":
        recipe["losses"] = {"hostile": 1.0}
    if kind in ("backbone", "family"):
        recipe["backbone"] = "hostile" if kind == "backbone" else "hostiles:x"
    (tmp_path / "r.yaml").write_text(json.dumps(recipe))
    plugins().register(small_backbone())
    text = said(
        "train", tmp_path / "r.yaml", "--train", tmp_path / "train", "--val", tmp_path / "val",
        "--out", tmp_path / "run", "--device", "cpu",
        *(["--tracker", "hostile"] if kind == "tracker" else []),
        code=0 if kind == "tracker" else 1,
    )  # fmt: skip
    assert "told" in text


@pytest.mark.parametrize("when", ["build", "call"])
def test_what_fails_when_a_file_is_scored_is_told_without_orders(
    when: str, failing: Callable[[str, str], None], said: Run, tmp_path: Path
) -> None:
    from PIL import Image

    failing("face-extractor", when)
    plugins().register(small_backbone())
    detector = small_detector(small_backbone())
    extraction = {"extractor": "hostile", "threshold": 0.5, "scale": 1.3, "size": None}
    header = replace(detector.adapter.header, extraction=extraction)
    replace(detector.adapter, header=header).write(tmp_path / "adapter.safetensors")
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    command = ("score", tmp_path / "a.png", "--adapter", tmp_path / "adapter.safetensors")
    for options in ((), ("--json",), ("--csv",), ("--json", "--per-frame")):
        assert "told" in said(*command, *options)


# --- loading --------------------------------------------------------------------------------------

AUDITED = r"""
import os, sys
LOUD = {"os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.truncate", "os.link", "os.symlink",
        "os.chmod", "os.utime", "shutil.rmtree", "shutil.move", "tempfile.mkstemp",
        "tempfile.mkdtemp", "socket.__new__", "socket.connect", "socket.bind",
        "socket.getaddrinfo", "subprocess.Popen", "os.system", "os.exec", "os.fork",
        "os.posix_spawn", "os.putenv", "urllib.Request"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
found = []

def hook(event, arguments):
    if event in LOUD:
        found.append((event, str(arguments[:1])))
    elif event == "open":
        path, mode, flags = arguments
        writes = any(c in mode for c in "wax+") if mode else flags & WRITING
        if writes and path != os.devnull:
            found.append((event, str(path)))

sys.addaudithook(hook)
from gendkit.plugin.manager import Plugins
plugins = Plugins()
assert not plugins.broken, plugins.broken
plugins.listeners
repr(plugins), plugins._repr_html_()
print(sorted({one.source.plugin for one in (*plugins.parts, *plugins.listeners)}))
if len(sys.argv) > 1:
    exec(sys.argv[1])
print("found", found)
"""


def audited(tmp_path: Path, *more: str) -> list[str]:
    """Load the plugins in a new process, with those of plugins/, and return what it wrote."""
    root = Path(__file__).resolve().parents[2]
    paths = [root]
    for folder in sorted((root / "plugins").glob("gendkit-*")):
        project = (folder / "pyproject.toml").read_text(encoding="utf-8")
        points = re.search(r'entry-points\.gendkit\]\n((?:.+ = ".+"\n)+)', project)
        assert points is not None
        site = tmp_path / folder.name
        info = site / f"{folder.name.replace('-', '_')}-0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {folder.name}\nVersion: 0\n")
        (info / "entry_points.txt").write_text("[gendkit]\n" + points[1].replace('"', ""))
        paths += [folder, site]
    home = tmp_path / "home"
    home.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", AUDITED, *more],
        capture_output=True,
        text=True,
        env={
            "PATH": "", "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": ":".join(map(str, paths)),
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not list(home.iterdir())
    return done.stdout.splitlines()


def test_to_load_plugins_writes_nothing_and_asks_nobody(tmp_path: Path) -> None:
    names, found = audited(tmp_path)
    assert found == "found []"
    assert "gendkit.builtin" in names
    assert "tensorboard" in names


@pytest.mark.parametrize(
    ("code", "event"),
    [
        ("open(sys.executable + '/x/y', 'w')", "open"),
        ("os.open('/nowhere/x', os.O_WRONLY | os.O_CREAT)", "open"),
        ("os.mkdir('/nowhere/x')", "os.mkdir"),
        ("os.remove('/nowhere/x')", "os.remove"),
        ("import socket; socket.socket().close()", "socket.__new__"),
    ],
)
def test_what_would_write_or_ask_is_seen(code: str, event: str, tmp_path: Path) -> None:
    guarded = f"import contextlib\nwith contextlib.suppress(OSError):\n    {code}"
    _, found = audited(tmp_path, guarded)
    assert f"('{event}'" in found

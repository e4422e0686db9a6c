"""What a plugin lacks, and the command that installs it, from its distribution's own metadata.

An import error or the name of a distribution enters; a line leaves. What the metadata says is only
compared and quoted: a requirement that a shell could read as more than text is not repeated.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING

from gendkit.errors import MissingDependency
from gendkit.optional import FAISS_BUILDS
from gendkit.plugin.parts import HERE, Source

if TYPE_CHECKING:
    from packaging.requirements import Requirement

_IMPORTING = (
    *("importlib", "_frozen_importlib", "_frozen_importlib_external"),
    "importlib_metadata",  # whose newer form takes over where it is installed
)
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\[\],<>=!~*+-]*")

UNDECLARED = "does not declare what gives"

# Of what is not installed nothing says which modules it would bring; these have another name.
_BRINGS = {
    "cv2": ("opencv-python", "opencv-python-headless", "opencv-contrib-python"),
    "faiss": FAISS_BUILDS,
    "open-clip": ("open-clip-torch",),
    "pil": ("pillow",),
    "skimage": ("scikit-image",),
    "sklearn": ("scikit-learn",),
    "umap": ("umap-learn",),
    "yaml": ("pyyaml",),
}


@dataclass(frozen=True, kw_only=True)
class Need:
    """A requirement of a distribution that is not met.

    Attributes
    ----------
    name
        Of what is missing, or has the wrong version.
    problem
        `not installed`, or which version is and which is declared.
    install
        What pip is to be asked for.
    """

    name: str
    problem: str
    install: str


def needs_of(distribution: str) -> tuple[Need, ...]:
    """Return what a distribution declares for this machine, without an extra, and does not have.

    Parameters
    ----------
    distribution
        Its name; of one that is not installed nothing is known, and nothing is returned.
    """
    return tuple(
        Need(name=name, problem=problem, install=_asked(wanted, distribution))
        for wanted in _requirements(distribution)
        if _applies(wanted)
        for name, problem in _lacks(wanted, seen=frozenset())
    )


def told(needs: Iterable[Need]) -> str:
    """Return needs in one line with the command that meets them all; without any, nothing."""
    needs = list(needs)
    if not needs:
        return ""
    what = ", ".join(f"{need.name}: {need.problem}" for need in needs)
    return f"needs {what}; {_run(*dict.fromkeys(need.install for need in needs))}"


def remedy_of(error: ImportError, source: Source) -> str:
    """Return what to do about an import that failed in a plugin; empty if nobody can tell.

    Parameters
    ----------
    error
        As it was raised: its traceback tells who imported the module.
    source
        Of the plugin.
    """
    module, distribution = error.name or "", source.distribution
    module = module if isinstance(module, str) else ""  # a plugin may raise it with anything
    if not module:
        return told(needs_of(distribution))
    if distribution == HERE:
        return f"it was registered here and declares nothing: install what gives {module!r}"
    importer = _importer(error)
    declared = _requirements(distribution)
    brings = [r.name for r in declared if importer and _brings(r.name, importer)]
    names = [name for name in brings if _version(name) is not None]
    if names:  # not the plugin failed, but something that it uses
        distribution, declared = names[0], _requirements(names[0])
    if _canonical(module.partition(".")[0]) == _canonical(distribution):
        return f"its own files lack this; {_run(distribution, how='--force-reinstall ')}"
    named = [r for r in declared if _brings(r.name, module)]
    for requirement in filter(_applies, named):
        if any(_lacks(requirement, seen=frozenset())):
            return _run(_asked(requirement, distribution))
        return (
            f"{requirement.name} {_version(requirement.name)} is what {distribution} declares, yet "
            f"it lacks this: tell the author, or try: {_pip(requirement.name, how='--upgrade ')}"
        )
    for extra in _extras(distribution):
        if any(_applies(requirement, extra) for requirement in named):
            return _run(f"{distribution}[{extra}]")
    if not importer:  # gendkit itself was asked for it, by the entry point
        return (
            f"its entry point names {module!r}, which is no module here: correct "
            "[project.entry-points.gendkit] in its pyproject.toml, and install it again"
        )
    who = "it" if distribution == "?" else distribution
    return told(needs_of(distribution)) or (
        f"{who} {UNDECLARED} {module!r}: tell its author, and install that"
    )


def undeclared(error: BaseException | None, source: Source) -> bool:
    """Tell whether an installed plugin lacks a module that nothing of what it declares brings."""
    if not isinstance(error, ImportError) or not source.installed:
        return False
    return UNDECLARED in remedy_of(error, source)


def place_of(error: BaseException) -> str:
    """Return the last line outside gendkit that an error came through, such as ` (mine, line 9)`.

    Nothing for an error of syntax, which tells its line itself, and if only gendkit was at work.
    """
    found, trace = "", error.__traceback__
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__", ""))
        if module.partition(".")[0] not in ("gendkit", "pluggy", *_IMPORTING):
            found = f" ({module}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return "" if isinstance(error, SyntaxError) else found


def lacking(what: str, source: Source, error: ImportError) -> MissingDependency:
    """Return the error for a part that cannot be had because something is not installed.

    Parameters
    ----------
    what
        The part, such as `loss 'focal'`.
    source
        Of its plugin.
    error
        What was raised.
    """
    why = " ".join(f"{error}".split()).rstrip(".")
    remedy = remedy_of(error, source)
    return MissingDependency(
        f"{what} of plugin {source.plugin!r} ({source.origin}) cannot be built: {why}"
        f"{'; ' if remedy else ''}{remedy}."
    )


def _requirements(distribution: str) -> list[Requirement]:
    from packaging.requirements import InvalidRequirement, Requirement

    found = []
    try:
        lines = metadata.requires(distribution) or []
    except (metadata.PackageNotFoundError, ValueError):  # ValueError: an empty name
        return []
    for line in lines:
        try:
            found.append(Requirement(line))
        except InvalidRequirement:  # of damaged metadata the rest still counts
            continue
    return found


def _extras(distribution: str) -> list[str]:
    try:
        extras = metadata.metadata(distribution).get_all("Provides-Extra") or []
    except (metadata.PackageNotFoundError, ValueError):
        return []
    return [str(extra) for extra in extras]


def _applies(requirement: Requirement, extra: str = "") -> bool:
    """Tell whether a requirement counts on this machine, with an extra or with none."""
    from packaging.markers import UndefinedComparison, UndefinedEnvironmentName

    if requirement.marker is None:
        return not extra
    try:
        return requirement.marker.evaluate({"extra": extra}) and not (
            extra and requirement.marker.evaluate({"extra": ""})
        )
    except (UndefinedComparison, UndefinedEnvironmentName):
        return False


def _lacks(
    requirement: Requirement, *, seen: frozenset[tuple[str, str]]
) -> Iterator[tuple[str, str]]:
    """Yield name and problem of what keeps a requirement from being met, its extras included."""
    from packaging.version import InvalidVersion

    version = _version(requirement.name)
    if version is None:
        yield requirement.name, "not installed"
        return
    try:
        if not requirement.specifier.contains(version, prereleases=True):
            yield requirement.name, f"{version} is installed, {requirement.specifier} is declared"
            return
    except InvalidVersion:  # nobody can compare it
        pass
    for extra in sorted(requirement.extras):
        step = (_canonical(requirement.name), extra)
        if step in seen:
            continue
        for more in _requirements(requirement.name):
            if _applies(more, extra):
                yield from _lacks(more, seen=seen | {step})


def _version(distribution: str) -> str | None:
    try:
        # Of a damaged distribution it is missing; nobody can compare the question mark.
        return str((metadata.metadata(distribution).get_all("Version") or ["?"])[0])
    except (metadata.PackageNotFoundError, ValueError):
        return None


def _importer(error: ImportError) -> str:
    """Return the module whose import statement failed; empty if it was gendkit's manager."""
    name, trace = "", error.__traceback__
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__", ""))
        if module.partition(".")[0] not in _IMPORTING:
            name = module
        trace = trace.tb_next
    return "" if name.startswith("gendkit.plugin.") else name


def _brings(distribution: str, module: str) -> bool:
    """Tell whether a distribution is one that gives a module, as far as names can tell."""
    asked = {_canonical(module), _canonical(module.partition(".")[0])}
    name = _canonical(distribution)
    return name in asked or any(name in _BRINGS.get(one, ()) for one in asked)


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _asked(requirement: Requirement, distribution: str) -> str:
    """Return a requirement as pip is asked for it; one with an address, by who declares it."""
    if requirement.url:
        return distribution
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    text = f"{requirement.name}{extras}{requirement.specifier}"
    return text if _SAFE.fullmatch(text) else distribution


def _run(*names: str, how: str = "") -> str:
    return f"run: {_pip(*names, how=how)}"


def _pip(*names: str, how: str = "") -> str:
    safe = (f'"{name}"' for name in names if _SAFE.fullmatch(name))
    return f"python -m pip install {how}{' '.join(safe)}"

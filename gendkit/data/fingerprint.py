"""What an object is, code included: two processes get the same bytes only for the same.

What is defined in a notebook or a script counts with its code and the globals that this uses; what
is imported counts with the source file that it stands in, as either may be edited between two runs.
What that file imports in turn does not count.
"""

from __future__ import annotations

import hashlib
import io
import re
import sys
from functools import lru_cache
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import cloudpickle

_RANDOM = re.compile(r"[0-9a-f]{32}")
"""By which cloudpickle knows a class again within one process."""


def fingerprint(thing: object) -> bytes:
    """Return bytes that tell a thing from others.

    Raises
    ------
    Exception
        Whatever an object raises when it is pickled.
    """
    file = io.BytesIO()
    pickler = _Pickler(file)
    pickler.dump(thing)
    whole = hashlib.sha256(file.getvalue())
    for module in sorted(pickler.modules):
        whole.update(_source(getattr(sys.modules.get(module), "__file__", None) or ""))
    return whole.digest()


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Writes what nobody reads: without what differs between two runs of the same code."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.modules: set[str] = set()

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, CodeType):
            return tuple, (_code(obj),)
        reduced = super().reducer_override(obj)
        if reduced is NotImplemented:
            for part in obj.__mro__ if isinstance(obj, type) else (obj,):
                if isinstance(part, type | FunctionType):
                    self.modules.add(part.__module__)
        elif isinstance(obj, type):
            function, arguments, *rest = reduced
            kept = (a for a in arguments if not (isinstance(a, str) and _RANDOM.fullmatch(a)))
            return function, tuple(kept), *rest
        return reduced


def _code(code: CodeType) -> tuple[Any, ...]:
    """Return what code does, without the place where it stands."""
    constants = (sorted(map(repr, c)) if isinstance(c, frozenset) else c for c in code.co_consts)
    names = (code.co_name, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    return (code.co_code, tuple(constants), *names, *counts)


@lru_cache(maxsize=256)
def _read(path: Path, changed: int) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()


def _source(file: str) -> bytes:
    path = Path(file)
    if path.suffix != ".py" or not path.is_file():
        return b""
    return _read(path, path.stat().st_mtime_ns)

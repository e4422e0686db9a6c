"""Files that users bring: weights that nobody may hand on, or that no wheel ships.

What a part needs enters, and the path that the user named, if any; the path of the file leaves.
Nothing is fetched, and what is in the file is for the part to check.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from gendkit.data.assets import cache_folder
from gendkit.errors import MissingAsset


@dataclass(frozen=True, kw_only=True)
class BroughtFile:
    """A file that the user has to bring.

    Attributes
    ----------
    needed_by
        As a message names it, such as `YuNet`.
    file, folder
        Its name, and that of its folder in the cache.
    variable
        The environment variable that may hold its path.
    origin
        Who gives it where, and under which terms: half a sentence that ends in why it is not
        fetched.
    """

    needed_by: str
    file: str
    folder: str
    variable: str
    origin: str

    @property
    def place(self) -> Path:
        """Where it is looked for in the cache."""
        return cache_folder() / self.folder / self.file

    def path(self, given: str | Path | None = None) -> Path:
        """Return its path: the given one, that in the variable, or the place in the cache.

        The first of the three that is named counts: another file is never taken for a missing one.

        Raises
        ------
        MissingAsset
            If there is no such file: which one is wanted, from where, and the ways to name it.
        """
        if given is not None:
            path, named = Path(given).expanduser(), "weights="
        elif variable := os.environ.get(self.variable):
            path, named = Path(variable).expanduser(), f"${self.variable}"
        else:
            path, named = self.place, "the cache"
        if path.is_file():
            return path
        raise MissingAsset(
            f"{self.needed_by} needs the file {self.file}, and there is no file {path} ({named}). "
            f"{self.origin}; put it at {self.place}, name it in the environment variable "
            f"{self.variable}, or give weights=PATH."
        )

"""Where a model's files are: a folder, or a repository of the model hub and its local cache.

A key enters; paths of files on this computer leave. Nothing is read here but the list of shards.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from gendkit.errors import InvalidCheckpoint, MissingAsset, UnknownPart

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json")


@dataclass(frozen=True, kw_only=True)
class Place:
    """A model's files.

    Attributes
    ----------
    key
        As it stands in the backbone's name: a hub id, or a folder's absolute path.
    folder
        With `config.json` and what else was fetched; of a repository, the one of its commit in the
        hub's cache.
    commit
        Of a repository; None for a folder, for which the network is never asked.
    """

    key: str
    folder: Path
    commit: str | None = None

    @classmethod
    def of(cls, key: str) -> Place:
        """Find a model by its key.

        What begins with `.`, `/` or `~` is a folder, anything else a hub id: which model a name
        means does not depend on what lies in the working directory. A folder's path is made
        absolute, so that a name that an adapter keeps works again from elsewhere.

        Raises
        ------
        UnknownPart
            If there is no such folder or repository, or none with a configuration.
        MissingAsset
            If the repository is neither cached nor to be had.
        """
        if key.startswith((".", "~")) or Path(key).is_absolute():
            return cls._local(key)
        if Path(key).is_dir():
            raise UnknownPart(
                f"'transformers:{key}' names a model of the hub, but there is such a folder here; "
                f"for the folder write transformers:.{os.sep}{key}, for the model change to "
                "another working directory."
            )
        config = _fetched(key, CONFIG)
        if config is None:
            raise UnknownPart(
                f"the repository {key!r} of the model hub has no {CONFIG}: it is none of "
                "transformers'."
            )
        return cls(key=key, folder=config.parent, commit=config.parent.name)

    @classmethod
    def _local(cls, key: str) -> Place:
        folder = Path(os.path.abspath(Path(key).expanduser()))
        wanted = f"expected {CONFIG} and {WEIGHTS} in it, as save_pretrained writes them"
        if not folder.is_dir():
            raise UnknownPart(
                f"there is no folder {str(folder)!r}, which transformers:KEY with the key {key!r} "
                f"means; {wanted}. A model of the hub is named OWNER/NAME."
            )
        if not (folder / CONFIG).is_file():
            raise UnknownPart(f"the folder {str(folder)!r} has no {CONFIG}; {wanted}.")
        return cls(key=str(folder), folder=folder)

    def file(self, name: str) -> Path | None:
        """Return the path of a file, fetched if need be; None if the model has none.

        Raises
        ------
        MissingAsset
            If the hub cannot be asked, and the cache does not tell.
        """
        path = self.folder / name
        if path.is_file():
            return path
        return None if self.commit is None else _fetched(self.key, name, self.commit)

    def weights(self) -> Path:
        """Return the folder in which all weights are, as safetensors.

        Raises
        ------
        MissingAsset
            If there are none, or not in that format, or they are not to be had.
        InvalidCheckpoint
            If the list of the files with weights is damaged.
        """
        if self.file(WEIGHTS) is not None:
            return self.folder
        if (index := self.file(INDEX)) is not None:
            for shard in _shards(index):
                if self.file(shard) is None:
                    raise MissingAsset(f"{self.key} lacks {shard}, of which {INDEX} tells.")
            return self.folder
        if any((self.folder / name).is_file() for name in PICKLED):
            raise MissingAsset(
                f"{self.key} has weights as {PICKLED[0]} only, and nothing is unpickled here. If "
                f"you trust that file, convert it once: transformers.AutoModel.from_pretrained("
                f"{self.key!r}).save_pretrained('a-new-folder')."
            )
        raise MissingAsset(
            f"{self.key} has no {WEIGHTS}; transformers.AutoModel.from_pretrained({self.key!r})"
            ".save_pretrained('a-new-folder') writes one of other formats that you trust."
        )

    def card(self) -> Path | None:
        """Return the model card, if it is on this computer already."""
        path = self.folder / "README.md"
        return path if path.is_file() else None


def _shards(index: Path) -> list[str]:
    try:
        return sorted(set(map(str, json.loads(index.read_bytes())["weight_map"].values())))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidCheckpoint(f"{index} is damaged ({error!r}); fetch it anew.") from None


def _fetched(repo: str, name: str, commit: str | None = None) -> Path | None:
    """Return a file of a repository; None if it has none of that name."""
    from huggingface_hub import _CACHED_NO_EXIST, hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    try:
        return Path(hf_hub_download(repo, name, revision=commit))
    except HFValidationError:
        raise UnknownPart(
            f"{repo!r} is no id of the model hub; expected OWNER/NAME, or a folder written as "
            f".{os.sep}NAME."
        ) from None
    except GatedRepoError as error:
        raise MissingAsset(
            f"{repo} is given only to those who accepted its terms on the model hub; do that, and "
            "log in with `hf auth login`."
        ) from error
    except RepositoryNotFoundError as error:
        raise UnknownPart(
            f"the model hub has no {repo!r}, or not for you; check the name, and log in with "
            "`hf auth login` for what is private."
        ) from error
    except Exception as error:  # the errors of its HTTP library differ by version
        if isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError):
            return None
        if try_to_load_from_cache(repo, name, revision=commit) is _CACHED_NO_EXIST:
            return None
        raise MissingAsset(
            f"{name} of {repo} is neither cached nor to be had from the model hub "
            f"({type(error).__name__}); run once where the hub can be reached, or give a folder."
        ) from error

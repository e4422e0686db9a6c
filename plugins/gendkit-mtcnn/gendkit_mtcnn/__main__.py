"""`python -m gendkit_mtcnn` puts the weights into the cache, for a machine without a network."""

from __future__ import annotations

import sys

from gendkit.errors import GendkitError
from gendkit_mtcnn.weights import weights


def main() -> None:
    """Write the paths of the weights, fetching what is missing."""
    try:
        paths = weights()
    except GendkitError as error:
        sys.exit(f"gendkit_mtcnn: error: {error}")
    sys.stdout.writelines(f"{path}\n" for path in paths)


if __name__ == "__main__":
    main()

"""`python -m gendkit` is `gendkit`; `torchrun -m gendkit train` trains on several processes."""

import sys

from gendkit.cli import main

if __name__ == "__main__":
    sys.exit(main())

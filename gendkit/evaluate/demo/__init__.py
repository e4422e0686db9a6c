"""The demo: the whole path on faces that are forged here, and what it found, as values."""

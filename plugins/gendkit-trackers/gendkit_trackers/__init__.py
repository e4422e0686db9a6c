"""Trackers for gendkit's training runs; each module is a plugin of its own."""

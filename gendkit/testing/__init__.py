"""Seeded stand-ins for tests: a small backbone, small crops, and results that nobody measured.

Import the modules themselves, such as `gendkit.testing.small`; nothing here is loaded by gendkit.
"""

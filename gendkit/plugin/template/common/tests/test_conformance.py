"""The rules that every plugin of its kind keeps, one test a rule."""

from gendkit.testing import plugin_checks

test_conformance = plugin_checks("my-part")

"""The rules of gendkit's conformance kit, each a test."""

from gendkit.testing import plugin_checks

test_conformance = plugin_checks("gendkit-metric-learning")

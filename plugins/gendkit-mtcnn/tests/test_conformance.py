"""The rules of gendkit's conformance kit, each a test; without the weights most are skipped."""

from gendkit.testing import plugin_checks

test_conformance = plugin_checks("gendkit-mtcnn")

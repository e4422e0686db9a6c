"""For authors of plugins: the conformance kit, and seeded stand-ins for tests.

`plugin_checks` makes tests of the rules that `gendkit plugins check` runs, and `check` tries them
in a notebook. Stand-ins are a small backbone, small crops, and results that nobody measured: import
their modules themselves, such as `gendkit.testing.small`. Of gendkit itself, only that command
loads anything here.
"""

from gendkit.testing.conformance import check, checks_of, plugin_checks
from gendkit.testing.rules import Given, Outcome, Outcomes

__all__ = ["Given", "Outcome", "Outcomes", "check", "checks_of", "plugin_checks"]

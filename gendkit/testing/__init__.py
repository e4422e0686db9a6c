"""For authors of plugins: the conformance kit, and seeded stand-ins for tests.

`plugin_checks` makes tests of the rules that `gendkit plugins check` runs. Stand-ins are a small
backbone, small crops, and results that nobody measured: import their modules themselves, such as
`gendkit.testing.small`. Of gendkit itself, only that command loads anything here.
"""

from gendkit.testing.conformance import checks_of, plugin_checks
from gendkit.testing.rules import Given, Outcome

__all__ = ["Given", "Outcome", "checks_of", "plugin_checks"]

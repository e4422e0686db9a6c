"""Every error that gendkit raises on purpose.

Each message says what was got, what was expected and the next step; the command line prints it as
one line and exits with a non-zero code.
"""


class GendkitError(Exception):
    """Base of all errors whose message is meant for the user."""


class PluginError(GendkitError):
    """A plugin breaks a rule: a clash of names, a misspelt hook, a wrong part."""


class RefusedPlugin(PluginError):
    """A plugin whose hook is misspelt, or that takes a name of another: going on would mislead."""


class InvalidSpec(PluginError):
    """A part declares something that cannot be true."""


class UnknownPart(GendkitError):
    """No installed plugin gives a part of that name."""


class InvalidOption(GendkitError):
    """An option that a part does not have, or a value that it cannot take."""


class MissingDependency(GendkitError):
    """An optional package is not installed."""


class MissingAsset(GendkitError):
    """A weight or media file is neither cached nor to be had."""


class MissingService(GendkitError):
    """A service that a tracker writes to is not to be had: no login, or no network."""


class CorruptAsset(GendkitError):
    """A downloaded or cached file does not have the expected hash."""


class MissingMedia(GendkitError):
    """No file, or no media, where some was expected."""


class UnreadableMedia(GendkitError):
    """A file that is no image or video, or from which nothing decodes."""


class NotExamined(GendkitError):
    """Media in which no face was found, so that there is nothing to score."""


class InvalidManifest(GendkitError):
    """A manifest that breaks its schema or that leaks between splits."""


class InvalidRecipe(GendkitError):
    """A recipe with an unknown field or an impossible value."""


class InvalidArgument(GendkitError):
    """An argument of a function that is impossible, or impossible on this computer."""


class Diverged(GendkitError):
    """A loss that is no longer a finite number."""


class RankLost(GendkitError):
    """Another process of a distributed run that is gone, or does not answer."""


class StaleIndex(GendkitError):
    """An index that was built of other embeddings."""


class WorkerLost(GendkitError):
    """Processes that share the work on a store are gone, or cannot be reached."""


class CorruptCheckpoint(GendkitError):
    """A file that is no checkpoint of an interrupted run, or a damaged one."""


class NothingToTune(GendkitError):
    """A backbone without the normalisation layers it declared."""


class InvalidAdapter(GendkitError):
    """A file that is no adapter, or a damaged one."""


class InvalidCheckpoint(InvalidAdapter):
    """A model of another layout that does not fit what it says of itself."""


class ExportDiffers(GendkitError):
    """A model in another format that does not compute the same numbers."""


class WrongBackbone(InvalidAdapter):
    """An adapter that was trained on other frozen weights."""


class InvalidImage(GendkitError):
    """An image of the wrong size, shape or dtype."""


class InvalidLabels(GendkitError):
    """Labels other than 0 (real) and 1 (fake) where those are needed."""


class UndefinedMetric(GendkitError, UserWarning):
    """A metric, or an interval, that the scores at hand do not define: a warning, not raised."""


class InvalidEmbeddings(GendkitError):
    """A store of embeddings that breaks the schema."""


class InvalidCalibration(GendkitError):
    """A file that is no calibration, a damaged one, or one of another detector."""


class InvalidReport(GendkitError):
    """A file that is no report of gendkit, or of a format that is not known."""


class OutputExists(GendkitError):
    """An output that already holds something else."""


class UnwritableOutput(GendkitError):
    """An output that cannot be made where it is wanted."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text without its full stop, or the name of its kind."""
    lines = str(error).strip().splitlines()
    return lines[0].strip().rstrip(".") if lines else type(error).__name__

"""The command line: thin commands over the library's functions.

Arguments enter; results leave on stdout, progress and messages on stderr. A command's module is
imported when it is asked for, and what it needs when it runs, so that `--help` is instant.

Exit codes: 0, all went well; 1, an error of gendkit's, told in one line, one that nobody foresaw,
with its traceback, a file that could not be scored, or what `audit`, `manifest check` or
`reproduce` found; 2, wrong usage; 130, interrupted.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Sequence

import click

from gendkit import __version__
from gendkit.errors import GendkitError

COMMANDS = {
    "app": "gendkit.cli.app:app",
    "assets": "gendkit.cli.assets:assets",
    "audit": "gendkit.cli.evidence:audit",
    "bench": "gendkit.cli.bench:bench",
    "calibrate": "gendkit.cli.calibrate:calibrate",
    "card": "gendkit.cli.card:card",
    "combine": "gendkit.cli.manifold:combine",
    "demo": "gendkit.cli.demo:demo",
    "doctor": "gendkit.cli.doctor:doctor",
    "drift": "gendkit.cli.drift:drift",
    "embed": "gendkit.cli.manifold:embed",
    "evaluate": "gendkit.cli.evaluate:evaluate",
    "explain": "gendkit.cli.explain:explain",
    "export": "gendkit.cli.export:export",
    "extract": "gendkit.cli.extract:extract",
    "geometry": "gendkit.cli.evidence:geometry",
    "index": "gendkit.cli.manifold:build",
    "layers": "gendkit.cli.drift:layers",
    "manifest": "gendkit.cli.manifest:manifest",
    "neighbours": "gendkit.cli.manifold:neighbours",
    "place": "gendkit.cli.manifold:place",
    "plugins": "gendkit.cli.plugins:plugins",
    "project": "gendkit.cli.manifold:project",
    "report": "gendkit.cli.report:report",
    "reproduce": "gendkit.cli.reproduce:reproduce",
    "score": "gendkit.cli.score:score",
    "study": "gendkit.cli.study:study",
    "suspects": "gendkit.cli.evidence:suspects",
    "train": "gendkit.cli.train:train",
    "votes": "gendkit.cli.evidence:votes",
}
SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
FAILED, USAGE, INTERRUPTED = 1, 2, 130


class _Commands(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command


@click.command(cls=_Commands, context_settings=SETTINGS)
@click.version_option(__version__, prog_name="gendkit")
@click.option("-v", "--verbose", is_flag=True, help="Tell on stderr what is being done.")
def gendkit(verbose: bool) -> None:
    """Detect deepfakes by layer-norm tuning on the hypersphere.

    \b
    Example: gendkit demo
             gendkit score holiday.mp4 --adapter gendkit-demo/run
    """
    _quiet(verbose=verbose)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Parameters
    ----------
    arguments
        By default those of the process.
    """
    try:
        result = gendkit.main(
            args=None if arguments is None else list(arguments),
            prog_name="gendkit",
            standalone_mode=False,
        )
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return USAGE
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        see = f" See: {context.command_path} --help" if context else ""
        message = error.format_message().replace("\n\t", " ")  # click lists choices in lines
        complain(f"{message}{see}")
        return error.exit_code
    except GendkitError as error:
        complain(str(error))
        return FAILED
    except (click.Abort, KeyboardInterrupt):
        complain("interrupted.")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader, such as `head`, has what it wanted; Python must not flush into the pipe again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        complain(f"{error.filename or 'a file'}: {(error.strerror or str(error)).lower()}.")
        return FAILED
    except (Exception, SystemExit) as error:  # code of a plugin, or a fault of ours
        if isinstance(error, SystemExit) and not isinstance(error.code, str):
            raise  # without words, such as click's when nobody reads
        _tell(error)
        return FAILED
    return result if isinstance(result, int) else 0


def complain(text: str) -> None:
    """Say on stderr, in one line, what is wrong."""
    from gendkit.cli.show import printable

    rank = os.environ.get("RANK", "0")  # torchrun's
    who = "" if rank == "0" else f"rank {rank}: "
    click.echo(f"gendkit: error: {printable(who + text)}", err=True)


def _tell(error: BaseException) -> None:
    """Write a traceback to stderr, in which an error's text is escaped: it may be a stranger's."""
    from gendkit.markup import visible

    for line in "".join(traceback.format_exception(error)).split("\n"):
        click.echo(visible(line), err=True)


class _Escaped(logging.Formatter):
    """Writes a message without what a terminal obeys."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the text, line by line."""
        from gendkit.markup import visible

        return "\n".join(map(visible, super().format(record).split("\n")))


def _quiet(*, verbose: bool) -> None:
    """Send the log of gendkit and its plugins to stderr, and others' only if it is asked for.

    Warnings of other libraries are meant for programmers, and what fails is told by gendkit's own
    error. A plugin is known by its module's name, `gendkit_x`.
    """
    os.environ.setdefault("HF_HUB_VERBOSITY", "info" if verbose else "error")  # at its import
    logging.getLogger("huggingface_hub").setLevel(logging.INFO if verbose else logging.ERROR)
    if not verbose and not sys.warnoptions:
        warnings.simplefilter("ignore")
    handler = logging.StreamHandler()
    handler.setFormatter(_Escaped("gendkit: %(levelname)s: %(message)s"))
    handler.addFilter(_lower)
    if not verbose:
        handler.addFilter(_ours)
    root, own = logging.getLogger(), logging.getLogger("gendkit")
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    own.setLevel(logging.INFO if verbose else logging.WARNING)


def _ours(record: logging.LogRecord) -> bool:
    return record.name.startswith("gendkit")


def _lower(record: logging.LogRecord) -> bool:
    record.levelname = record.levelname.lower()
    return True

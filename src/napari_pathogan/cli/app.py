"""``pathogan``: all that the plugin does, without a window.

Every error a user can do something about is one line on stderr and exit code 2.
"""

from __future__ import annotations

import sys
from typing import Annotated, NoReturn

import typer

from napari_pathogan import __version__
from napari_pathogan.cli import idc, info, masses, nuclei, stain, study
from napari_pathogan.errors import PathoganError

_INTERRUPTED = 130  # what newer typer makes of Ctrl-C, instead of raising Abort
# from click, or from the copy of click inside newer typer
_UsageError: type[Exception] = next(
    c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException"
)

app = typer.Typer(
    name="pathogan",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"napari-pathogan {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    """Deep learning for pathology: slides, models, training and evaluation."""


app.command("info")(info.info)
app.add_typer(idc.app, name="idc")
app.add_typer(masses.app, name="masses")
app.add_typer(nuclei.app, name="nuclei")
app.add_typer(stain.app, name="stain")
app.add_typer(study.app, name="study")


def main() -> None:
    """Run the command line; the entry point ``pathogan``."""
    try:
        code = app(standalone_mode=False)
    except _UsageError as error:
        message = error.format_message()  # type: ignore[attr-defined]
        if message:
            fail(f"{message} (see --help)")
        code = 2  # no arguments: the help has been shown
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    except PathoganError as error:
        fail(str(error))
    except MemoryError:
        fail("out of memory; choose a smaller region, width or batch")
    if code == _INTERRUPTED:
        fail("interrupted; what was finished before is kept, nothing is half written")
    raise SystemExit(code if isinstance(code, int) else 0)


def fail(message: str) -> NoReturn:
    """Say one line on stderr and leave with exit code 2."""
    print(f"pathogan: {' '.join(message.split())}", file=sys.stderr)  # noqa: T201
    raise SystemExit(2)

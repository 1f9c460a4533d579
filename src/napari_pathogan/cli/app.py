"""``pathogan``: all that the plugin does, without a window.

Every error a user can do something about is one line on stderr and exit code 2.
"""

from __future__ import annotations

import sys
from typing import NoReturn

import click
import typer

from napari_pathogan.cli import idc, info
from napari_pathogan.errors import PathoganError

app = typer.Typer(
    name="pathogan",
    help="Deep learning for pathology: slides, models, training and evaluation.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("info")(info.info)
app.add_typer(idc.app, name="idc")


def main() -> None:
    """Run the command line; the entry point ``pathogan``."""
    try:
        code = app(standalone_mode=False)
    except click.UsageError as error:
        error.show()
        raise SystemExit(2) from None
    except (KeyboardInterrupt, click.Abort):
        fail("interrupted; what was finished before is kept, nothing is half written")
    except PathoganError as error:
        fail(str(error))
    except MemoryError:
        fail("out of memory; choose a smaller region, width or batch")
    raise SystemExit(code if isinstance(code, int) else 0)


def fail(message: str) -> NoReturn:
    """Say one line on stderr and leave with exit code 2."""
    print(f"pathogan: {' '.join(message.split())}", file=sys.stderr)  # noqa: T201
    raise SystemExit(2)

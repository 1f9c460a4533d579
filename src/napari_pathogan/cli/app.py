"""``pathogan``: all that the plugin does, without a window.

Every error a user can do something about is one line on stderr and exit code 2.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from pathlib import Path
from tempfile import gettempdir
from typing import Annotated

import typer

from napari_pathogan import addresses
from napari_pathogan.cli import annotations as annotating
from napari_pathogan.cli import doctor, info, models, study
from napari_pathogan.cli.build import add_batch, add_task
from napari_pathogan.cli.idc_generate import generate
from napari_pathogan.cli.masses_blend import blend
from napari_pathogan.cli.masses_froc import froc
from napari_pathogan.cli.nuclei_classes import grid, rename
from napari_pathogan.cli.outputs import fail
from napari_pathogan.errors import PathoganError, out_of_memory
from napari_pathogan.files import FULL, output_error, system_error
from napari_pathogan.slides.cache import set_cache_mb
from napari_pathogan.tasks import registered
from napari_pathogan.version import __version__

_CACHE_MB = 128  # commands read a slide once; a window shows what it has shown before
_PYDANTICS = "Value error, "  # before what a check of a value says
_INTERRUPTED = 130  # what newer typer makes of Ctrl-C, instead of raising Abort
# from click, or from the copy of click inside newer typer
_UsageError: type[Exception] = next(
    c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException"
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"napari-pathogan {__version__}")
        raise typer.Exit


_OTHERS = {  # what only one task does
    "idc": (generate,),
    "masses": (froc, blend),
    "nuclei classes": (grid, rename),
}


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    """Deep learning for pathology: slides, models, training and evaluation."""


def build() -> typer.Typer:
    """The command line of all tasks that are registered."""
    app = typer.Typer(name="pathogan", no_args_is_help=True, pretty_exceptions_enable=False)
    app.callback()(_options)
    app.command("info")(info.info)
    app.command("doctor")(doctor.doctor)
    groups: dict[str, typer.Typer] = {"": app}

    def group(words: str, about: str = "") -> typer.Typer:
        if words not in groups:
            outer, _, word = words.rpartition(" ")
            groups[words] = typer.Typer(help=about, no_args_is_help=True)
            group(outer).add_typer(groups[words], name=word)
        return groups[words]

    batches = typer.Typer(
        help="One task over many slides, on one machine or a cluster.", no_args_is_help=True
    )
    for task in registered().values():
        add_task(task, group(task.words, task.help))
        add_batch(task, batches)
    for words, commands in _OTHERS.items():
        for command in commands:
            group(words).command()(command)
    app.add_typer(batches, name="batch")
    app.add_typer(models.app, name="models")
    app.add_typer(study.app, name="study")
    app.add_typer(annotating.app, name="annotations")
    app.command("retrain")(annotating.retrain)
    return app


app = build()


def _check_processes(words: list[str]) -> None:
    """Make sure that of several processes (torchrun) a training is asked for: they would all do the same."""
    if "TORCHELASTIC_RUN_ID" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        command = list(itertools.takewhile(lambda word: not word.startswith("-"), words[:3]))
        if not any(word in {"train", "blend-train"} for word in command):
            fail(
                "several processes (torchrun) train a model: pathogan TASK train; start this alone"
            )


def _unnamed() -> str:
    """Where nothing can be written, as no error says: where the output goes, or temporary folders."""
    try:
        print(flush=True)  # noqa: T201
    except OSError:
        return "the output"
    return gettempdir()


def _end_as_by_ctrl_c() -> None:
    """Let nothing be left half done by an end from outside."""
    for name in ("SIGTERM", "SIGHUP"):  # Windows has no terminal that goes; nohup ignores it
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)


def main() -> None:
    """Run the command line; the entry point ``pathogan``. SIGTERM and a terminal that goes act as Ctrl-C."""
    _end_as_by_ctrl_c()
    if "PATHOGAN_CACHE_MB" not in os.environ:
        set_cache_mb(_CACHE_MB)
    _check_processes(sys.argv[1:])
    sys.argv[1:] = addresses.without_secrets(sys.argv[1:])
    try:
        code = app(standalone_mode=False)
    except _UsageError as error:
        message = error.format_message()  # type: ignore[attr-defined]
        if message:
            fail(f"{message.replace(_PYDANTICS, '')} (see --help)")
        code = 2  # no arguments: the help has been shown
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    except PathoganError as error:
        fail(str(error))
    except Exception as error:
        if out_of_memory(error):
            fail("out of memory; choose a smaller region, width or batch")
        why = system_error(error)  # of what is written on the way, in temporary folders
        if why is None or why.errno not in FULL:
            raise
        fail(str(output_error(Path(why.filename or _unnamed()), why)))
    if code == _INTERRUPTED:
        fail("interrupted; what was finished before is kept, nothing is half written")
    raise SystemExit(code if isinstance(code, int) else 0)

"""``pathogan doctor``: what this machine has, what is wrong, and the mend."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer

from napari_pathogan.cli.options import Json  # noqa: TC001 - typer reads the annotation


def doctor(as_json: Json = False) -> None:
    """Look at versions, devices, codecs, OpenGL and folders; exit code 1 if something is wrong."""
    from napari_pathogan.doctor import check_up

    found = check_up()
    typer.echo(json.dumps(asdict(found)) if as_json else str(found))
    raise typer.Exit(1 if found.faults else 0)

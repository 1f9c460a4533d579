"""Options that several commands share, so that they read and mean the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Output = Annotated[Path, typer.Option("-o", "--output", help="Folder of the run.")]


def _checked(name: str) -> str:
    from napari_pathogan.engine.models import check_name

    return check_name(name) if name else name


Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="Any other setting of the recipe, as in a run's config.json: ema=0.99."
    ),
]
Name = Annotated[
    str, typer.Option(help="Name of the model; the run's by default.", callback=_checked)
]
Source = Annotated[str, typer.Option(help="What the images are, for the model card.")]
Terms = Annotated[str, typer.Option(help="Their terms of use, for the model card.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, mps.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with a run that stopped.")]
Events = Annotated[bool, typer.Option("--events", help="Print events as JSON lines.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
JsonEach = Annotated[bool, typer.Option("--json", help="Print one JSON object a file.")]

"""``pathogan masses``: train, evaluate and apply detectors of masses in mammograms."""

from __future__ import annotations

import typer

from napari_pathogan.cli.masses_blend import blend, blend_train
from napari_pathogan.cli.masses_detect import detect
from napari_pathogan.cli.masses_evaluate import evaluate, froc
from napari_pathogan.cli.masses_train import train

app = typer.Typer(help="Masses in mammograms.", no_args_is_help=True)
app.command()(detect)
app.command()(train)
app.command()(evaluate)
app.command()(froc)
app.command()(blend)
app.command("blend-train")(blend_train)

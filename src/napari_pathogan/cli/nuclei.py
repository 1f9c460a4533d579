"""``pathogan nuclei``: train, evaluate and apply models of nuclei."""

from __future__ import annotations

import typer

from napari_pathogan.cli import nuclei_classes
from napari_pathogan.cli.nuclei_segment import segment
from napari_pathogan.cli.nuclei_train import evaluate, train

app = typer.Typer(help="Nuclei in H&E slides: segmentation and classes.", no_args_is_help=True)
app.command()(segment)
app.command()(train)
app.command()(evaluate)
app.add_typer(nuclei_classes.app, name="classes")

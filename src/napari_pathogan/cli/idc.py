"""``pathogan idc``: train, evaluate and apply models of invasive ductal carcinoma."""

from __future__ import annotations

import typer

from napari_pathogan.cli.idc_generate import generate
from napari_pathogan.cli.idc_predict import predict
from napari_pathogan.cli.idc_train import evaluate, train

app = typer.Typer(help="Invasive ductal carcinoma in H&E slides.", no_args_is_help=True)
app.command()(predict)
app.command()(train)
app.command()(evaluate)
app.command()(generate)

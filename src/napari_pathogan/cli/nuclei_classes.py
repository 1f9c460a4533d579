"""``pathogan nuclei classes``: drawn nuclei of each class, and names for classes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_pathogan.cli.options import Device  # noqa: TC001  (typer reads the annotations)

_ImageMpp = Annotated[
    float | None, typer.Option(help="um per pixel of the images, where they don't say.", min=0.01)
]
_Model = Annotated[str, typer.Argument(help="Name of a model, or its folder.")]


def grid(  # noqa: PLR0917
    model: _Model,
    output: Annotated[Path, typer.Option("-o", "--output", help="PNG to write.")],
    rows: Annotated[int, typer.Option(help="Nuclei of each class.", min=1, max=100)] = 8,
    zoom: Annotated[int, typer.Option(help="Pixels of the picture a pixel.", min=1, max=16)] = 2,
    seed: Annotated[int, typer.Option(help="Seed of the noise.")] = 0,
    device: Device = "auto",
) -> None:
    """Draw nuclei that do not exist: classes across, the same noise along a row."""
    from PIL import Image

    from napari_pathogan.cli.outputs import check_outputs
    from napari_pathogan.files import written
    from napari_pathogan.kinds import picture, picture_text
    from napari_pathogan.tasks.nuclei_classes.model import ClassModel

    kind = picture("synthetic nuclei")
    check_outputs([(output, kind)], [Path(model)])
    loaded = ClassModel.load(model, device=device)
    drawn = Image.fromarray(loaded.grid(rows, seed))
    size = drawn.width * zoom, drawn.height * zoom
    text = picture_text(kind.name, {"synthetic": "true"})
    with written(output, kind) as beside:
        drawn.resize(size, Image.Resampling.NEAREST).save(beside, "PNG", pnginfo=text)
    typer.echo(f"{output}: synthetic nuclei, classes across: {', '.join(loaded.names)}")


def rename(  # noqa: PLR0917
    model: _Model,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the renamed model.")],
    name: Annotated[
        list[str] | None, typer.Option(help="Number, from 0, and name: 0=epithelial.")
    ] = None,
    colour: Annotated[
        list[str] | None, typer.Option(help="Number, from 0, and colour: 0=#d62728.")
    ] = None,
    like: Annotated[
        str, typer.Option(help="First take the names that this model gives the nuclei of --on.")
    ] = "",
    on: Annotated[
        Path | None, typer.Option(help="Folder of nuclei, as for train, for --like.")
    ] = None,
    mpp: _ImageMpp = None,
) -> None:
    """Give the classes of a model your own names and colours; they stay with the model."""
    from napari_pathogan.cli.outputs import check_outputs
    from napari_pathogan.engine.models import model_kind
    from napari_pathogan.tasks.nuclei_classes.crossval import named_like
    from napari_pathogan.tasks.nuclei_classes.data import read_nuclei
    from napari_pathogan.tasks.nuclei_classes.model import TASK, ClassModel

    if bool(like) != (on is not None):
        raise typer.BadParameter("--like and --on go together")
    check_outputs([(output, model_kind(TASK))], [] if on is None else [on])
    loaded = ClassModel.load(model, device="cpu")
    if on is not None:
        other = ClassModel.load(like, device="cpu")
        pair = read_nuclei(on, loaded.mpp, mpp), read_nuclei(on, other.mpp, mpp)
        loaded, agreement = named_like(loaded, pair[0], other, pair[1])
        typer.echo(f"{agreement:.1%} of {len(pair[0])} nuclei are called the same by {like}")
    renamed = loaded.renamed(
        _changed(loaded.names, name or []), _changed(loaded.colours, colour or [])
    )
    if name or colour:  # the user's hold on every tissue
        groups = loaded.naming()
        renamed = renamed.regrouped(
            _changed(groups.names, name or []), _changed(groups.colours, colour or [])
        )
    renamed.card = renamed.card.model_copy(update={"name": output.name})
    renamed.save(output)
    kept = zip(renamed.names, renamed.colours, strict=True)
    typer.echo(f"model: {output}, classes: {', '.join(f'{n} ({c})' for n, c in kept)}")


def _changed(values: tuple[str, ...], changes: list[str]) -> list[str]:
    """Values with some replaced, each given as ``number=value``."""
    from napari_pathogan.tasks.nuclei_classes.model import ClassNameError

    changed = list(values)
    for change in changes:
        number, _, value = change.partition("=")
        if not number.isdigit() or int(number) >= len(values) or not value:
            msg = f"{change!r} is not number=value with a number from 0 to {len(values) - 1}"
            raise ClassNameError(msg)
        changed[int(number)] = value
    return changed

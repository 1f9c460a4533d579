"""``pathogan idc generate``: synthetic patches as PNG files that say what they are."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path  # noqa: TC003  (typer reads the annotations)
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_pathogan.engine.events import Event
    from napari_pathogan.tasks.idc.generate import IdcGenerator


class Label(StrEnum):
    """What to draw."""

    healthy = "healthy"
    idc = "IDC"


def generate(  # noqa: PLR0917
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the PNG files.")],
    count: Annotated[int, typer.Option("-n", "--count", help="How many.", min=1)] = 50,
    label: Annotated[
        Label | None, typer.Option(help="Which class; both by turns if left out.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed draws the same patches.", min=0)] = 0,
    model: Annotated[
        str, typer.Option(help="Name of a generator, its folder, or its run's.")
    ] = "idc-generator",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps.")] = "auto",
    events: Annotated[bool, typer.Option("--events", help="Print events as JSON lines.")] = False,
) -> None:
    """Draw synthetic H&E patches; file names and PNG text say that they are synthetic."""
    from napari_pathogan.cli.outputs import check_outputs
    from napari_pathogan.cli.progress import follow
    from napari_pathogan.errors import OutputError
    from napari_pathogan.kinds import others
    from napari_pathogan.tasks.idc.generate import PNG, IdcGenerator

    check_outputs([(output / "synthetic.png", PNG)], [])
    if (other := others(output, PNG)) is not None:
        msg = f"{output} holds {other}; synthetic patches are kept apart: choose another folder"
        raise OutputError(msg)
    generator = IdcGenerator.load(model, device)
    follow(_drawn(generator, output, count, label.value if label else None, seed), as_json=events)
    if not events:
        typer.echo(f"{count} synthetic patches in {output}")


def _drawn(
    generator: IdcGenerator, folder: Path, count: int, label: str | None, seed: int
) -> Iterator[Event]:
    """Draw, then write one file after the other."""
    from PIL import Image

    from napari_pathogan.engine.events import Finished, Progress
    from napari_pathogan.files import written
    from napari_pathogan.tasks.idc.data import CLASSES
    from napari_pathogan.tasks.idc.generate import PNG, labels, png_text

    images = generator.generate(count, label, seed)
    for i, (image, kind) in enumerate(zip(images, labels(count, label), strict=True)):
        path = folder / f"synthetic_{CLASSES[kind]}_seed{seed}_{i:04d}.png"
        with written(path, PNG) as beside:
            Image.fromarray(image).save(
                beside, pnginfo=png_text(generator.card, CLASSES[kind], seed, i)
            )
        yield Progress(i + 1, count, f"writing {path.name}")
    yield Finished(summary={"folder": str(folder), "n": count, "synthetic": True})

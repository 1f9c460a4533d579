"""``pathogan study``: make a reader study, put copies together, check and report it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from napari_pathogan.study.config import StudyConfig
    from napari_pathogan.study.report import StudyReport
    from napari_pathogan.study.sources import Draw

app = typer.Typer(
    help="Reader studies: can experts tell real from generated?", no_args_is_help=True
)

StudyFolder = Annotated[Path, typer.Argument(help="Folder of the study.")]
KeyFile = Annotated[
    Path | None, typer.Option("--key", help="The answer key; STUDY.key.json beside it by default.")
]


@app.command()
def config() -> None:
    """Print an example of the settings file, with comments."""
    from napari_pathogan.study.config import EXAMPLE

    typer.echo(EXAMPLE, nl=False)


@app.command()
def new(
    settings: Annotated[Path, typer.Argument(help="TOML or JSON; see `pathogan study config`.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the study, to make.")],
    key: Annotated[
        Path | None,
        typer.Option(
            "--key",
            help="File of the answer key, to make; STUDY.key.json beside the folder by default, "
            "where readers at this computer could open it.",
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="For generators: auto, cpu, cuda, mps.")] = "auto",
    events: Annotated[bool, typer.Option("--events", help="Print events as JSON lines.")] = False,
) -> None:
    """Make a study: its folder for the readers, and its answer key."""
    from napari_pathogan.cli.progress import follow
    from napari_pathogan.study.config import read_config
    from napari_pathogan.study.design import check_room, new_study

    check_room(output, key)
    asked = read_config(settings)
    made = new_study(asked, output, _draw(asked, device), key=key)
    finished = follow(made, as_json=events)
    if not events:
        typer.echo(f"study for the readers: {finished.summary['study']}")
        typer.echo(f"answer key, keep it from them: {finished.summary['key']}")


def _draw(config: StudyConfig, device: str) -> Draw | None:
    """The door to all generators; torch is only loaded where one is asked for."""
    if not any(source.generator for source in config.generated):
        return None
    from functools import partial

    from napari_pathogan.synthetic import generate

    return partial(generate, device=device)


@app.command()
def report(
    study: StudyFolder,
    key: KeyFile = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    html: Annotated[
        Path | None, typer.Option("--html", help="Save as one page that needs nothing else.")
    ] = None,
) -> None:
    """Report a study: each reader and all together, with intervals and tests.

    This ends blinding on this computer: that the answer key was opened here, and when, is noted in
    the study.
    """
    from napari_pathogan.cli.progress import follow
    from napari_pathogan.study.record import Study
    from napari_pathogan.study.results import results

    if html is not None:
        from napari_pathogan.cli.outputs import check_outputs
        from napari_pathogan.study.html import write_html
        from napari_pathogan.study.page import PAGE

        check_outputs([(html, PAGE)], [study] if key is None else [study, key])
    opened = Study.open(study)
    for one in opened.unfinished_here():
        typer.echo(
            f"not finished on this computer: {one.reader} ({one.answered} of {one.total} answered); "
            "the report will say that the key was opened before",
            err=True,
        )
    found: StudyReport = follow(results(opened, key)).result
    for problem in found.problems:
        typer.echo(f"not as it was written: {problem}", err=True)
    if html is not None:
        write_html(html, found)
    if json:
        typer.echo(found.to_json())
        return
    from rich.console import Console

    for table in found.tables():
        Console().print(table)
    if html is not None:
        typer.echo(f"page: {html}")


@app.command()
def check(study: StudyFolder, key: KeyFile = None) -> None:
    """Check that images, key and records are as they were written."""
    from napari_pathogan.errors import StudyError
    from napari_pathogan.study.layout import key_path, read_key
    from napari_pathogan.study.record import Study
    from napari_pathogan.study.report import tampering

    opened = Study.open(study)
    with_key = key is not None or key_path(study).exists()
    if with_key:
        read_key(study, key, opened.manifest)
    problems = tampering(opened)
    if problems:
        raise StudyError("; ".join(problems))
    records = opened.records()
    typer.echo(
        f"untouched: {len(opened.manifest.images)} images, "
        f"{len(records)} records of {len(opened.readers())} readers"
        + (", the answer key" if with_key else "; the answer key is not here")
    )
    for record in records:
        typer.echo(
            f"{record.reader}: {len(record.answers)} answers, receipt {record.chain.receipt}"
        )


@app.command()
def page(
    study: StudyFolder,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to make.")],
    events: Annotated[bool, typer.Option("--events", help="Print events as JSON lines.")] = False,
) -> None:
    """Make a folder that readers elsewhere open in a browser: offline, nothing installed.

    Each answer is kept in the browser. At the end it is handed back as one file, which `pathogan
    study merge` takes. The answer key is not in it.
    """
    from napari_pathogan.cli.outputs import check_outputs
    from napari_pathogan.cli.progress import follow
    from napari_pathogan.study.browser import FOLDER, write_folder
    from napari_pathogan.study.record import Study

    check_outputs([(output, FOLDER)], [study])
    finished = follow(write_folder(Study.open(study), output), as_json=events)
    if not events:
        typer.echo(f"send the folder {output} to the readers; they open {finished.result.name}")
        typer.echo(f"what they hand back: pathogan study merge {study} FILE")


@app.command()
def merge(
    study: StudyFolder,
    others: Annotated[
        list[Path],
        typer.Argument(
            help="Copies of it that were answered elsewhere, and files that readers handed back "
            "from `pathogan study page`."
        ),
    ],
) -> None:
    """Copy records from elsewhere into this study; nothing is overwritten."""
    from napari_pathogan.study.merge import merge as put_together
    from napari_pathogan.study.merge import merge_file
    from napari_pathogan.study.record import Study

    opened = Study.open(study)
    for other in others:
        done = (
            merge_file(opened, other)
            if other.is_file()
            else put_together(opened, Study.open(other))
        )
        typer.echo(
            f"{other}: {len(done.copied)} records copied, {len(done.extended)} went on there, "
            f"{len(done.kept)} were here already"
        )
    for standing in opened.standings():
        if len(standing.machines) > 1:
            typer.echo(
                f"{standing.reader} has answered on {len(standing.machines)} computers: an image that "
                "was answered on both counts once, as answered first"
            )


@app.command()
def plan(  # noqa: PLR0917
    images: Annotated[int, typer.Option(help="Images a reader.", min=1, max=5000)] = 100,
    readers: Annotated[int, typer.Option(help="Readers.", min=1, max=100)] = 3,
    accuracy: Annotated[
        float, typer.Option(help="True share of right answers that is supposed.", min=0, max=1)
    ] = 0.5,
    margin: Annotated[
        float, typer.Option(help="Of the equivalence test.", min=0.01, max=0.49)
    ] = 0.1,
    width: Annotated[
        float, typer.Option(help="Width of the 95 % interval that is wanted.", min=0.005, max=1)
    ] = 0.1,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say what a study of this size would show, and how many answers an interval needs."""
    from napari_pathogan.study.plan import answers_for_width
    from napari_pathogan.study.plan import plan as work_out

    found = work_out(images * readers, accuracy, margin)
    needed = answers_for_width(width, accuracy)
    if json:
        from json import dumps

        typer.echo(dumps({**found._asdict(), "answers_for_width": needed}, indent=1))
        return
    typer.echo(
        f"{readers} readers x {images} images = {found.n} answers, if {accuracy:g} are right:"
    )
    typer.echo(f"  95 % interval about {found.width:.3f} wide")
    typer.echo(f"  found different from guessing (p < 0.05): {100 * found.significant:.0f} %")
    typer.echo(
        f"  shown equivalent to guessing within {margin:g} (p < 0.05): {100 * found.equivalent:.0f} %"
    )
    typer.echo(f"answers for an interval {width:g} wide: {needed}")
    typer.echo("answers count as independent; readers who differ among themselves need more")


@app.command()
def example(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the study, to make.")],
    right: Annotated[
        int, typer.Option(help="Right answers of each reader, of 100.", min=0, max=100)
    ] = 70,
    readers: Annotated[int, typer.Option(help="Simulated readers.", min=1, max=20)] = 3,
    events: Annotated[bool, typer.Option("--events", help="Print events as JSON lines.")] = False,
) -> None:
    """Make a study of drawn images with simulated readers, to try the report on."""
    from napari_pathogan.cli.progress import follow
    from napari_pathogan.study.example import example as make

    follow(make(output, right=right, readers=readers), as_json=events)
    if not events:
        typer.echo(f"now try: pathogan study report {output} --html report.html")

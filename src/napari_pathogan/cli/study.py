"""``pathogan study``: make a reader study, put copies together, check and report it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from napari_pathogan.study.config import StudyConfig
    from napari_pathogan.study.mrmc import Components
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
def report(  # noqa: PLR0917
    study: StudyFolder,
    key: KeyFile = None,
    against: Annotated[
        Path | None,
        typer.Option(
            "--against",
            help="Another study of the same images, which the same readers read under another "
            "condition, to compare with.",
        ),
    ] = None,
    against_key: Annotated[
        Path | None, typer.Option("--against-key", help="Its answer key; beside it by default.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    html: Annotated[
        Path | None, typer.Option("--html", help="Save as one page that needs nothing else.")
    ] = None,
) -> None:
    """Report a study: each reader and all together, with intervals and tests; generators compared.

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

        read = [x for x in (study, key, against, against_key) if x is not None]
        check_outputs([(html, PAGE)], read)
    opened = Study.open(study)
    other = None if against is None else (Study.open(against), against_key)
    for one in opened.unfinished_here():
        typer.echo(
            f"not finished on this computer: {one.reader} ({one.answered} of {one.total} answered); "
            "the report will say that the key was opened before",
            err=True,
        )
    found: StudyReport = follow(results(opened, key, against=other)).result
    for problem in found.problems:
        typer.echo(f"not as it was written: {problem}", err=True)
    if html is not None:
        write_html(html, found)
    if json:
        typer.echo(found.to_json())
        return
    from rich.console import Console

    for table in found.tables():
        Console(markup=False).print(table)
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
def size(  # noqa: PLR0917
    pilot: Annotated[
        Path | None,
        typer.Argument(help="A study that was answered: how readers and images vary."),
    ] = None,
    key: KeyFile = None,
    difference: Annotated[
        float, typer.Option(help="Difference of mean AUCs that is to be found.", min=0.001, max=0.5)
    ] = 0.1,
    power: Annotated[float, typer.Option(help="How surely.", min=0.06, max=0.999)] = 0.8,
    readers: Annotated[int, typer.Option(help="Most readers.", min=2, max=100)] = 10,
    guessing: Annotated[
        bool, typer.Option("--guessing", help="Against guessing, not between two generators.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say how many images so many readers need to find a difference of two generators.

    Of what a pilot study found; that opens its answer key, which is noted. Without one, readers and
    images are taken to vary as in a published study of radiologists.
    """
    from napari_pathogan.errors import StudyError
    from napari_pathogan.study.size import VAN_DYKE, cases_needed

    assumed = "as five radiologists and 114 patients (Van Dyke et al. 1993)"
    found = VAN_DYKE
    if pilot is not None:
        found, assumed = _pilot(pilot, key, guessing=guessing), f"as in {pilot.name}"
    elif guessing:
        msg = "give a pilot study: nothing is published of readers who guess"
        raise StudyError(msg)
    rows = {r: cases_needed(found, r, difference, power) for r in range(2, readers + 1)}
    if json:
        from json import dumps

        table = [{"readers": r, "images": n} for r, n in rows.items()]
        typer.echo(dumps({"difference": difference, "power": power, "sizes": table}, indent=1))
        return
    what = "from guessing" if guessing else "of two generators"
    typer.echo(
        f"to find a difference of {difference:g} {what} in {100 * power:.0f} % of studies (5 %, other "
        f"readers and images), readers and images varying {assumed}:"
    )
    for r, n in rows.items():
        needed = "no number of images is enough" if n is None else f"{n} images"
        typer.echo(f"  {r} readers: {needed}")
    typer.echo(
        "images are those of each generator and the real ones together, in the pilot's proportion"
    )


def _pilot(folder: Path, key: Path | None, *, guessing: bool) -> Components:
    """How readers and images vary in a study that was answered."""
    from napari_pathogan.cli.progress import follow
    from napari_pathogan.errors import StudyError
    from napari_pathogan.study.compare import everything
    from napari_pathogan.study.mrmc import components
    from napari_pathogan.study.record import Study
    from napari_pathogan.study.results import results

    found: StudyReport = follow(results(Study.open(folder), key)).result
    if not guessing:
        if found.generators is None:
            msg = f"{folder} has no two generators that two readers read; plan against --guessing, or without it"
            raise StudyError(msg)
        return found.generators.components
    whole = everything(found.judged, pairs=found.study.manifest.mode == "pairs")
    if whole is None or len(found.judged) < 2:
        msg = f"{folder}: two readers who judged the same images are needed to see how readers vary"
        raise StudyError(msg)
    return components([whole])


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

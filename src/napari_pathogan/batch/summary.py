"""What a batch found, in one table and on one page."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from napari_pathogan.files import write_text, written
from napari_pathogan.kinds import MARK, parquet, table, web_page
from napari_pathogan.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pandas as pd

    from napari_pathogan.batch.folder import BatchFolder
    from napari_pathogan.engine.task import Task

COLUMNS = ("name", "image", "state", "text", "error", "notes", "seconds", "source")
"""Of every row of the table, before what the task says."""
TABLE = table("a batch", COLUMNS, more="")
PARQUET = parquet("summary of a batch")
PAGE = web_page("page of a batch", '<meta name="generator" content="napari-pathogan batch')
_LEFT_OUT = {"text", "files", "notes", "image", "kind", "imprint", "thumbnail"}


def rows(
    names: Sequence[str], records: Mapping[str, Mapping[str, Any]], failed: Mapping[str, str]
) -> list[dict[str, Any]]:
    """A row an image: what is plain in its summary, by dotted names. Failed ones have their error."""
    found: list[dict[str, Any]] = []
    for name in names:
        record = records.get(name)
        if record is None:
            state = "failed" if name in failed else "not done"
            found.append({"name": name, "state": state, "error": failed.get(name, "")})
            continue
        notes = "; ".join(record["notes"])
        about = {"name": name, "state": "done", "error": "", "notes": notes}
        about |= {"seconds": round(record["seconds"], 2), "source": record["source"]}
        for image in record["images"]:
            own = dict(_flat({k: v for k, v in image.items() if k not in _LEFT_OUT}))
            found.append({**own, **about, "image": image["image"], "text": image.get("text", "")})
    return found


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Numbers and texts at any depth; lists are left out."""
    for key, one in value.items():
        if isinstance(one, dict):
            yield from _flat(one, f"{prefix}{key}.")
        elif isinstance(one, str | int | float | bool):
            yield f"{prefix}{key}", one


def frame(
    names: Sequence[str], records: Mapping[str, Mapping[str, Any]], failed: Mapping[str, str]
) -> pd.DataFrame:
    """The rows as a table; the same columns first, whatever the task."""
    import pandas as pd  # noqa: PLC0415  (slow to import)

    made = pd.DataFrame(rows(names, records, failed))
    more = [column for column in made.columns if column not in COLUMNS]
    return made.reindex(columns=[*COLUMNS, *more])


def write_summary(
    folder: BatchFolder,
    task: Task,
    names: Sequence[str],
    records: Mapping[str, Mapping[str, Any]],
    failed: Mapping[str, str],
) -> None:
    """Write ``summary.csv``, ``summary.parquet`` and ``index.html``.

    Raises
    ------
    OutputError
        If they can't be written.
    """
    made = frame(names, records, failed)
    with written(folder.path / "summary.csv", TABLE) as beside:
        made.to_csv(beside, index=False)
    made.attrs = {MARK: {"kind": "summary of a batch", "version": __version__}}
    with written(folder.path / "summary.parquet", PARQUET) as beside:
        made.to_parquet(beside, index=False)
    write_text(folder.path / "index.html", page(folder, task, names, records, failed), PAGE)


def page(
    folder: BatchFolder,
    task: Task,
    names: Sequence[str],
    records: Mapping[str, Mapping[str, Any]],
    failed: Mapping[str, str],
) -> str:
    """The page: what failed, then every slide with its picture, figures, notes and files."""
    from jinja2 import Environment, PackageLoader  # noqa: PLC0415  (slow to import)

    settings = json.loads(folder.asked.read_text(encoding="utf-8"))["settings"]
    environment = Environment(
        loader=PackageLoader("napari_pathogan.batch", "."), autoescape=True, trim_blocks=True
    )
    return environment.get_template("page.html.j2").render(
        version=__version__,
        title=task.help.rstrip("."),
        settings=settings,
        names=names,
        records=records,
        failed=failed,
        scopes=sorted(
            {i["scope"] for r in records.values() for i in r["images"] if i.get("scope")}
        ),
        link=lambda name, file: f"slides/{quote(name)}/{quote(file)}",
    )

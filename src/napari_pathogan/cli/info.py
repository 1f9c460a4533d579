"""``pathogan info``: what a slide or a mammogram is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path  # noqa: TC003 - typer reads the annotation
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_pathogan.cli.options import Json  # noqa: TC001 - typer reads the annotation

if TYPE_CHECKING:
    from napari_pathogan.mammograms.mammogram import Mammogram
    from napari_pathogan.mammograms.study import MammogramStudy
    from napari_pathogan.slides.slide import Slide


_LOOK = 512  # pixels of a side of a grey image that are looked at
_SOME = 64  # pieces of the finest level that stand for all


def info(
    image: Annotated[
        Path,
        typer.Argument(
            help="Slide (SVS, TIFF, OME-Zarr, PNG, ...), mammogram (DICOM, grey PNG, PGM, TIFF), or "
            "a folder of them: each examination in it is told apart."
        ),
    ],
    whole: Annotated[
        bool,
        typer.Option(
            help="Read all of a slide's finest level, so that all damage is found; else some of it is."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Show what an image is: format, size, scale and its source; levels and tissue, or the view.

    Of a mammogram nothing is shown that says whose it is.
    """
    from napari_pathogan.cli import info_mammogram as mammograms
    from napari_pathogan.kinds import is_zarr
    from napari_pathogan.mammograms.mammogram import Mammogram
    from napari_pathogan.mammograms.study import examinations, is_index
    from napari_pathogan.slides.backends.dicom import is_folder_of_slide

    facts: dict[str, Any]
    notes: tuple[str, ...] = ()
    folder = image.is_dir() and not (
        is_zarr(image) or is_folder_of_slide(image) or image.suffix == ".zarr"
    )
    if folder or is_index(image):
        studies, unnamed = _named(image, [one.open() for one in examinations(image)])
        views = [
            mammograms.describe(view) | {"examination": study.name}
            for study in studies
            for view in study.views
        ]
        left_out = [*(line for study in studies for line in study.skipped), *unnamed]
        notes = tuple(f"left out: {line}" for line in left_out)
        notes += tuple(line for view in views for line in view["notes"])
        facts = {"examinations": len(studies), "views": views, "skipped": left_out}
        tables = [mammograms.rows(one, several=len(studies) > 1) for one in views]
    elif isinstance(one := _one(image, whole=whole), Mammogram):
        facts = mammograms.describe(one)
        tables, notes = [mammograms.rows(facts)], one.notes
    else:
        facts = one
        tables, notes = [_rows(facts)], tuple(facts["notes"])
    if as_json:
        print(json.dumps(facts, indent=2))  # noqa: T201
    else:
        _show(tables, notes)


def _named(folder: Path, studies: list[MammogramStudy]) -> tuple[list[MammogramStudy], list[str]]:
    """Examinations with the views that a header or their name tells of, and what was left out."""
    from napari_pathogan.errors import MammogramFormatError
    from napari_pathogan.mammograms.views import is_dicom, named_view

    named, left = [], []
    for study in studies:
        paths = {one: one.path for one in study.views if one.path is not None}
        mute = [
            one
            for one, path in paths.items()
            if not is_dicom(path) and None in named_view(path.stem)
        ]
        left += [paths[one].name for one in mute]
        if views := [one for one in study.views if one not in mute]:
            named.append(replace(study, views=views))
    if not named:
        raise MammogramFormatError(
            f"{folder.name} holds images whose names do not say side and view ({', '.join(left[:3])}), "
            "so nothing says that they are mammograms; look at each by itself"
        )
    told = [f"{name}: its name does not say side and view, and it has no header" for name in left]
    return named, told


def _one(path: Path, *, whole: bool) -> Mammogram | dict[str, Any]:
    """A mammogram, by its header or its name; facts of any other image."""
    from napari_pathogan.mammograms.study import mammogram_in, open_mammogram, says_mammogram
    from napari_pathogan.mammograms.views import is_dicom
    from napari_pathogan.slides.backends.dicom import is_whole_slide
    from napari_pathogan.slides.slide import Slide

    if is_dicom(path) and not is_whole_slide(path):
        return open_mammogram(path)
    with Slide.open(path) as slide:
        return mammogram_in(slide) if says_mammogram(slide) else describe(slide, whole=whole)


def describe(slide: Slide, *, whole: bool = False) -> dict[str, Any]:
    """All facts of a slide, ready for JSON; lengths in px, mm and um, the area in mm2.

    Parameters
    ----------
    whole
        Whether all of the finest level is read, which takes as long as an analysis: damage shows only in
        what is read.
    """
    from napari_pathogan.slides.geometry import Region
    from napari_pathogan.slides.tissue import tissue_mask

    height, width = slide.shape
    mpp = slide.mpp
    tissue = tissue_mask(slide) if slide.is_rgb else None
    read, pieces = slide.look_through(None if whole else _SOME)
    if tissue is None:
        slide.read(Region(0, 0, height, width), size=(min(height, _LOOK), min(width, _LOOK)))
    return {
        "name": slide.name,
        "format": slide.metadata.get("format"),
        "vendor": slide.metadata.get("vendor"),
        "width_px": width,
        "height_px": height,
        "width_mm": width * mpp[1] / 1e3 if mpp else None,
        "height_mm": height * mpp[0] / 1e3 if mpp else None,
        "mpp_y": mpp[0] if mpp else None,
        "mpp_x": mpp[1] if mpp else None,
        "mpp_source": slide.mpp_source,
        "scale_not_believed": slide.metadata.get("scale_not_believed"),
        "pixels": f"{'RGB' if slide.is_rgb else 'grey'} {slide.dtype}",
        "colour_rule": slide.metadata.get("rule"),
        "compression": slide.metadata.get("compression"),
        "icc_profile": slide.metadata.get("icc"),
        "icc_applied": slide.metadata.get("icc_applied"),
        "levels": [
            {
                "width_px": level.shape[1],
                "height_px": level.shape[0],
                "downsample_y": step[0],
                "downsample_x": step[1],
                "made_on_the_fly": made,
            }
            for level, step, made in zip(slide.levels, slide.downsamples, slide.made, strict=True)
        ],
        "tissue_mm2": tissue.area_mm2 if tissue else None,
        "tissue_share": tissue.share if tissue else None,
        "pieces_read": read,
        "pieces": pieces,
        "damaged": list(slide.damaged),
        "notes": slide.notes,
    }


def _show(tables: list[list[tuple[str, str]]], notes: tuple[str, ...]) -> None:
    from rich.console import Console
    from rich.table import Table

    from napari_pathogan.errors import printable

    console = Console(highlight=False, markup=False)
    for number, rows in enumerate(tables):
        table = Table(show_header=False, box=None, pad_edge=False)
        table.add_column(style="bold")
        table.add_column(overflow="fold")
        for name, value in rows:
            table.add_row(name, printable(value))
        console.print(*([""] if number else []), table, sep="\n")
    for sentence in notes:
        console.print(printable(f"note: {sentence}"))


def _rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    size = f"{facts['width_px']} x {facts['height_px']} px"
    said = facts["scale_not_believed"]
    why = f"the file states {said}, which is not believed" if said else "nothing in the file says"
    scale = f"unknown ({why}; give it with --mpp or in the viewer)"
    if facts["mpp_x"]:
        size += f", {facts['width_mm']:.2f} x {facts['height_mm']:.2f} mm"
        sides = dict.fromkeys(f"{facts[key]:.4g}" for key in ("mpp_x", "mpp_y"))
        scale = f"{' x '.join(sides)} um per pixel ({facts['mpp_source']})"
    area = "" if facts["tissue_mm2"] is None else f"{facts['tissue_mm2']:.2f} mm2, "
    tissue = "not looked for: the image is grey"
    if facts["tissue_share"] is not None:
        tissue = f"{area}{100 * facts['tissue_share']:.1f} % of the slide"
    levels = [
        f"{level['width_px']} x {level['height_px']} (1 : {level['downsample_x']:.6g})"
        + (", made on the fly" if level["made_on_the_fly"] else "")
        for level in facts["levels"]
    ]
    read, pieces = facts["pieces_read"], facts["pieces"]
    looked = f"{read} of {pieces} pieces of the finest level; --whole reads all of it"
    return [
        ("Name", str(facts["name"])),
        ("Format", " by ".join(str(v) for v in (facts["format"], facts["vendor"]) if v)),
        ("Size", size),
        ("Scale", scale),
        ("Pixels", f"{facts['pixels']} (in the file: {facts['colour_rule']})"),
        ("Compression", str(facts["compression"])),
        ("ICC profile", str(facts["icc_profile"]) + (", applied" if facts["icc_applied"] else "")),
        ("Levels", "\n".join(levels)),
        ("Tissue", tissue),
        ("Read", "all of the finest level" if read == pieces else looked),
    ]

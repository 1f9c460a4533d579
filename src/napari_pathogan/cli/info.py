"""``pathogan info``: what a slide is."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 - typer reads the annotation
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from napari_pathogan.slides.slide import Slide


def info(
    slide: Annotated[Path, typer.Argument(help="Slide or image: SVS, TIFF, OME-Zarr, PNG, ...")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show what a slide is: format, size, levels, scale and its source, colours, tissue."""
    from napari_pathogan.slides.slide import Slide

    with Slide.open(slide) as opened:
        facts = describe(opened)
    if as_json:
        print(json.dumps(facts, indent=2))  # noqa: T201
    else:
        _show(facts)


def describe(slide: Slide) -> dict[str, Any]:
    """All facts of a slide, ready for JSON; lengths in px, mm and um, the area in mm2."""
    from napari_pathogan.slides.tissue import tissue_mask

    height, width = slide.shape
    mpp = slide.mpp
    tissue = tissue_mask(slide)
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
        "tissue_mm2": tissue.area_mm2,
        "tissue_share": tissue.share,
        "damaged": list(slide.damaged),
    }


def _show(facts: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in _rows(facts):
        table.add_row(name, value)
    console = Console(highlight=False, markup=False)
    console.print(table)
    for sentence in facts["damaged"]:
        console.print(f"note: {sentence}")


def _rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    size = f"{facts['width_px']} x {facts['height_px']} px"
    scale = "unknown (nothing in the file says; give it with --mpp or in the viewer)"
    if facts["mpp_x"]:
        size += f", {facts['width_mm']:.2f} x {facts['height_mm']:.2f} mm"
        sides = dict.fromkeys(f"{facts[key]:.4g}" for key in ("mpp_x", "mpp_y"))
        scale = f"{' x '.join(sides)} um per pixel ({facts['mpp_source']})"
    area = "" if facts["tissue_mm2"] is None else f"{facts['tissue_mm2']:.2f} mm2, "
    levels = [
        f"{level['width_px']} x {level['height_px']} (1 : {level['downsample_x']:.6g})"
        + (", made on the fly" if level["made_on_the_fly"] else "")
        for level in facts["levels"]
    ]
    return [
        ("Name", str(facts["name"])),
        ("Format", " by ".join(str(v) for v in (facts["format"], facts["vendor"]) if v)),
        ("Size", size),
        ("Scale", scale),
        ("Pixels", f"{facts['pixels']} (in the file: {facts['colour_rule']})"),
        ("Compression", str(facts["compression"])),
        ("ICC profile", str(facts["icc_profile"]) + (", applied" if facts["icc_applied"] else "")),
        ("Levels", "\n".join(levels)),
        ("Tissue", f"{area}{100 * facts['tissue_share']:.1f} % of the slide"),
    ]

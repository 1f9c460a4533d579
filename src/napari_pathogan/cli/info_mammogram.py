"""What ``pathogan info`` says of a mammogram: nothing that tells whose it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_pathogan.mammograms.mammogram import Mammogram


def describe(mammogram: Mammogram) -> dict[str, Any]:
    """All facts of a view, ready for JSON; lengths in px and mm."""
    height, width = mammogram.shape
    mm = mammogram.mm_per_px
    return {
        "name": mammogram.name,
        "kind": "mammogram",
        "laterality": mammogram.laterality,
        "view": mammogram.view,
        "modifiers": list(mammogram.modifiers),
        "width_px": width,
        "height_px": height,
        "width_mm": width * mm[1] if mm else None,
        "height_mm": height * mm[0] if mm else None,
        "mm_per_px_y": mm[0] if mm else None,
        "mm_per_px_x": mm[1] if mm else None,
        "spacing": mammogram.spacing,
        "pixels": str(mammogram.pixels.dtype),
        "least": mammogram.pixels.min().item(),
        "greatest": mammogram.pixels.max().item(),
        "window": list(mammogram.window),
        "inverted": mammogram.high_is_dark,
        "chest_wall": mammogram.chest_side,
        "synthetic": mammogram.synthetic,
        "notes": list(mammogram.notes),
        **{key: known for key, known in mammogram.metadata.items() if key != "synthetic"},
    }


def rows(facts: dict[str, Any], *, several: bool = False) -> list[tuple[str, str]]:
    """The facts as a table, with the examination's name where there are several."""
    size = f"{facts['width_px']} x {facts['height_px']} px"
    scale = "unknown (nothing in the file says; give it in the viewer)"
    if facts["spacing"]:
        size += f", {facts['width_mm']:.1f} x {facts['height_mm']:.1f} mm"
        sides = dict.fromkeys(f"{facts[key]:.4g}" for key in ("mm_per_px_x", "mm_per_px_y"))
        scale = f"{' x '.join(sides)} mm per pixel ({facts['spacing']})"
    low, high = facts["window"]
    dark = "high values dark" + " (MONOCHROME1)" * (facts.get("photometric") == "MONOCHROME1")
    shown = dark if facts["inverted"] else "high values bright"
    by = [facts["format"], facts.get("manufacturer")]
    return [
        *([("Examination", facts["examination"])] if several else []),
        ("Name", facts["name"] + (" [synthetic]" if facts["synthetic"] else "")),
        ("Format", " by ".join(str(part) for part in by if part)),
        ("Breast", {"R": "right", "L": "left"}.get(facts["laterality"], "unknown side")),
        ("View", ", ".join((facts["view"] or "unknown", *facts["modifiers"]))),
        ("Size", size),
        ("Scale", scale),
        ("Pixels", f"grey {facts['pixels']}, {facts['least']:g} to {facts['greatest']:g}"),
        ("Window", f"{low:g} to {high:g}, {shown}"),
        ("Compression", str(facts.get("compression") or facts["format"])),
        ("Chest wall", facts["chest_wall"]),
    ]

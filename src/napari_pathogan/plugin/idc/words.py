"""Sentences of the IDC dock: what a threshold means, what is under the cursor."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_pathogan.engine.models import ModelCard
    from napari_pathogan.slides.slide import Slide
    from napari_pathogan.tasks.idc.heatmap import AreaResult, HeatMap


def usual_threshold(card: ModelCard) -> float:
    """The operating point of a model's heat map: with context where the card has that."""
    calibration = card.settings.get("context", {}).get("calibration", {})
    return float(calibration.get("threshold") or card.operating_point or 0.5)


def meaning(card: ModelCard, threshold: float) -> str:
    """What a threshold means on patients that the model had not seen, where its card says so.

    The card's figures hold at its own operating point; elsewhere only the direction is known.
    """
    hits = card.metrics.get("heat_map_recall") or card.metrics.get("recall")
    spared = card.metrics.get("heat_map_specificity") or card.metrics.get("specificity")
    if hits is None or spared is None or hits.value is None or spared.value is None:
        return "The card of this model does not say what its thresholds mean."
    point = usual_threshold(card)
    found, false = f"{100 * hits.value:.0f} %", f"{100 - 100 * spared.value:.0f} %"
    if round(100 * threshold) == round(100 * point):
        return f"Finds {found} of IDC; {false} of healthy tissue is a false alarm"
    than = f"than at {point:.2f} ({found}, {false})"
    if threshold < point:
        return f"Finds more IDC, with more false alarms, {than}"
    return f"Finds less IDC, with fewer false alarms, {than}"


def area_text(found: AreaResult) -> str:
    """How much IDC there is; where there is none, that nothing else was looked for."""
    text = f"<b>{plain_area_text(found)}</b>"
    _, low, high = found.share
    if low is not None and high is not None:
        text += (
            f"<br>The true share may be anything from {100 * low:.0f} to {100 * high:.0f} %, judging "
            "by patients that the model had not seen"
        )
    return text if found.idc_mm2.value else f"{text}<br>Other tumours were not looked for"


def plain_area_text(found: AreaResult) -> str:
    """``IDC 2.3 mm², 41 % of the tissue``, without the interval."""
    return str(found).partition(" (")[0]


def place_text(heat: HeatMap, y: float, x: float) -> str:
    """``IDC 0.47 ± 0.21``, "" where nothing was scored; without ± where that was measured of another model."""
    found = heat.at(y, x)
    if found is None:
        return ""
    return f"IDC {found[0]:.2f}" + ("" if heat.refitted else f" ± {found[1]:.2f}")


def cursor_text(slide: Slide, heat: HeatMap | None, y: float, x: float) -> str:
    """Where the cursor is on a slide (level-0 centre coordinates), and what the map says there."""
    height, width = slide.shape
    if not (-0.5 <= y < height - 0.5 and -0.5 <= x < width - 0.5):
        return " "
    if slide.mpp is None:
        place = f"y {y:,.0f} px, x {x:,.0f} px"
    else:
        place = f"y {(y + 0.5) * slide.mpp[0]:,.0f} µm, x {(x + 0.5) * slide.mpp[1]:,.0f} µm"
    if heat is None:
        return place
    return f"{place}: {place_text(heat, y, x) or 'not scored'}"

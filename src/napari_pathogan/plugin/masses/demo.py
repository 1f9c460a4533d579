"""The demo of mammograms: the phantom study, its masses, and one of them grown elsewhere.

``python -m napari_pathogan.plugin.masses.demo --screenshot demo/masses.png`` saves pictures of both
docks and closes the window; without it, napari stays open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_pathogan.plugin.demo import (
    SIZE,
    docked_and_run,
    present,
    rest,
    shoot,
    wait_until,
    widen,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import napari

    from napari_pathogan.plugin.blending.dock import BlendingDock
    from napari_pathogan.plugin.masses.dock import MassesDock

PLACE = (0.6, 0.72)  # in the right CC view, of its height and width: tissue without a mass


def main(arguments: Sequence[str] | None = None) -> None:
    """Open napari, look for masses, print what was found; stay open unless asked for pictures."""
    present("masses of a mammogram study", "study", show, take_pictures, arguments)


def show(viewer: napari.Viewer, study: Path | None = None) -> tuple[MassesDock, str]:
    """Hang the sample or a study, dock the widget, run it; returns what was found, in words.

    Raises
    ------
    SystemExit
        If the run fails: the reason has been shown.
    """
    from napari_pathogan.plugin.viewer import samples  # noqa: PLC0415
    from napari_pathogan.plugin.viewer.commands import show_mammograms  # noqa: PLC0415

    viewer.window.resize(*SIZE)
    show_mammograms(viewer, study or samples.FOLDER / samples.PHANTOM_STUDY)
    dock, seconds = docked_and_run(viewer, "Mammogram masses")
    if not dock.reviews.review_of(dock.layer):
        raise SystemExit("no masses came; the notification says why")
    found = [f"{row.view} {row.score}, {row.size}" for row in dock.table.rows]
    lines = (
        f"views       {', '.join(image.name for image in dock.images)}",
        f"model       {dock.card.title}",
        f"threshold   {dock.value.text()}: {dock.meaning.text()}",
        f"masses      {'; '.join(found) or 'none'}",
        f"time        {seconds:.1f} s, model loading included",
    )
    return dock, "\n".join(lines)


def take_pictures(viewer: napari.Viewer, dock: MassesDock, target: Path) -> list[Path]:
    """Save the study to ``target``; one mass, the light theme and the blending dock beside it."""
    names = ("mass", "light", "blending")
    places = [target, *(target.with_stem(f"{target.stem}-{name}") for name in names)]
    for place in places:
        if place is places[1] and dock.table.rows:
            dock.table.selectRow(0)
        elif place is places[2]:
            viewer.theme = "light"
            viewer.reset_view()
        elif place is places[3]:
            viewer.theme = "dark"
            grow(viewer)
        rest()
        shoot(viewer, place)
    return places


def grow(viewer: napari.Viewer) -> BlendingDock:
    """Dock the Blending widget and grow a lesion of the sample in the first view."""
    from napari_pathogan.plugin.blending.dock import SAMPLE  # noqa: PLC0415
    from napari_pathogan.plugin.viewer.keys import PLUGIN  # noqa: PLC0415

    dock: BlendingDock
    _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, "Blending")
    widen(dock)
    wait_until(dock.form.run.isEnabled)
    dock.offer_lesions(SAMPLE)
    wait_until(lambda: bool(dock.shelf.lesions))
    image = dock.images[0]
    dock.click(
        image.data_to_world([share * n for share, n in zip(PLACE, image.data.shape, strict=True)])
    )
    wait_until(lambda: dock.run is None and dock.grown is not None)
    return dock


if __name__ == "__main__":
    main()

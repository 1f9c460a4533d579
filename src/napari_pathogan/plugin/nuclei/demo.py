"""The demo of nuclei: the sample at 40x, its nuclei in the colours of their classes.

``python -m napari_pathogan.plugin.nuclei.demo --screenshot demo/nuclei.png`` saves pictures of all
pages of the dock and closes the window; without it, napari stays open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_pathogan.plugin.demo import SIZE, docked_and_run, present, rest, shoot

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import napari

    from napari_pathogan.plugin.nuclei.dock import NucleiDock


def main(arguments: Sequence[str] | None = None) -> None:
    """Open napari, find nuclei, print what was found; stay open unless asked for pictures."""
    present("nuclei of a slide", "slide", show, take_pictures, arguments)


def show(viewer: napari.Viewer, slide: Path | None = None) -> tuple[NucleiDock, str]:
    """Open the sample or a slide, dock the widget, run it; returns what was found, in words.

    Raises
    ------
    SystemExit
        If the run fails: the reason has been shown.
    """
    from napari_pathogan.plugin.viewer.commands import show_slide  # noqa: PLC0415
    from napari_pathogan.plugin.viewer.keys import PLUGIN  # noqa: PLC0415

    viewer.window.resize(*SIZE)
    if slide is None:
        viewer.open_sample(PLUGIN, "he_phantom_40x")
    else:
        show_slide(viewer, slide)
    dock, seconds = docked_and_run(viewer, "Nuclei")
    if dock.segmentation is None:
        raise SystemExit("no nuclei came; the notification says why")
    lines = (
        f"slide       {dock.layer.name}",
        f"model       {dock.segmentation.model_line}",
        f"classes     {dock.segmentation.class_model or 'none'}",
        f"nuclei      {dock.segmentation}",
        f"time        {seconds:.1f} s, model loading included",
    )
    return dock, "\n".join(lines)


def take_pictures(viewer: napari.Viewer, dock: NucleiDock, target: Path) -> list[Path]:
    """Save the page of classes to ``target``; a nucleus, the gallery, the light theme beside it."""
    stem = target.stem
    places = [target, *(target.with_stem(f"{stem}-{x}") for x in ("nucleus", "gallery", "light"))]
    for place in places:
        if place is places[1] and dock.segmentation is not None:
            ids = dock.segmentation.table["id"]
            dock.go_to(int(ids.iloc[len(ids) // 2]))
            dock.pages.setCurrentWidget(dock.details)
        elif place is places[2]:
            dock.pages.setCurrentWidget(dock.gallery)
        elif place is places[3]:
            viewer.theme = "light"
            viewer.reset_view()
            dock.pages.setCurrentIndex(0)
        rest()
        shoot(viewer, place)
    viewer.theme = "dark"
    return places


if __name__ == "__main__":
    main()

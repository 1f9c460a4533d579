"""Patches in view, classified by virtual stains beside the slide's own (G2C): rows of the dock, layers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtWidgets import QWidget

from napari_pathogan.errors import PathoganError
from napari_pathogan.plugin.shell.card import CardDialog
from napari_pathogan.plugin.shell.clicks import Clicks
from napari_pathogan.plugin.shell.form import Paragraph, beside, button, combo
from napari_pathogan.plugin.shell.overlay_bar import Legend, OverlayBar
from napari_pathogan.plugin.viewer import layers as between
from napari_pathogan.plugin.viewer.results import class_image
from napari_pathogan.plugin.virtual_stain.events import class_events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from napari.layers import Image

    from napari_pathogan.engine.events import Finished
    from napari_pathogan.engine.models import ModelCard
    from napari_pathogan.plugin.shell.dock import Dock
    from napari_pathogan.plugin.shell.form import Ties
    from napari_pathogan.tasks.virtual_stain.g2c.predict import ClassMap

TASK = "g2c"
_NONE = "No classifier found"


class PatchClasses(QWidget):
    """What a classifier says of the patches in view, and which virtual stain has a say in it.

    A click on a patch tells its decision, stain by stain.

    Parameters
    ----------
    stain
        Says which stain the chosen slide has; "" where nobody knows.
    """

    def __init__(self, dock: Dock, ties: Ties, stain: Callable[[], str]) -> None:
        super().__init__(dock)
        self.dock, self._stain = dock, stain
        self.models: dict[str, tuple[Path, ModelCard]] = {}
        self.found: dict[Image, ClassMap] = {}  # slide -> what was found on it last
        self.shown: dict[Image, list[Image]] = {}  # slide -> its layers
        self.model = combo("Classifies patches by the slide's own stain and virtual ones beside it")
        self.model.addItem(_NONE)
        self.info = button("i", "What this model was trained on, how well it does, and its limits")
        self.info.setFixedWidth(28)
        self.info.clicked.connect(self._show_card)
        self.classify = button(
            "Classify in view", "Classify the patches of tissue in view, by all stains together"
        )
        self.classify.clicked.connect(self._classify)
        self.about, self.said = Paragraph(), Paragraph()
        self.model.currentIndexChanged.connect(self._say_what_it_learnt)
        dock.form.add_row("Classes", beside(self.model, self.info))
        for line in (self.about, self.classify, self.said):
            dock.form.add_line(line)
        self.legend = Legend()
        self.overlay = OverlayBar(
            dock.form, 50, name="Class map", what="the map of classes", legend=self.legend
        )
        self.overlay.changed.connect(self._show_overlay)
        Clicks(dock.viewer, ties, self.click)
        self._say_what_it_learnt()
        self.show_legend()
        self.enable()

    def offer(self, models: dict[str, tuple[Path, ModelCard]]) -> None:
        """List the classifiers that know how large their patches are."""
        self.models = {name: one for name, one in models.items() if one[1].mpp and one[1].patch_px}
        self.model.clear()
        self.model.addItems(list(self.models) or [_NONE])
        self._say_what_it_learnt()
        self.show_legend()
        self.enable()

    def enable(self) -> None:
        """Let the button be pressed where there is something to do."""
        idle = self.dock.run is None and self.dock.layer is not None
        self.classify.setEnabled(idle and bool(self.models))
        self.info.setEnabled(bool(self.models))
        self.model.setEnabled(idle)

    def slide_changed(self) -> None:
        """Say what was found on the slide that was chosen."""
        found = self.found.get(self.dock.layer) if self.dock.layer is not None else None
        self.said.setText(found.text if found is not None else "")
        self.show_legend()
        self.enable()

    def show_legend(self) -> None:
        """What the colours of the map mean, where there is one."""
        slide = self.dock.layer
        maps = self._maps(slide) if slide is not None else []
        self.overlay.show_rows(shown=bool(maps))
        if maps and slide is not None:
            last = self.found[slide].said.classes[-1]
            self.legend.show_colours(maps[0], f"0 % {last}", f"100 % {last}")
            self.legend.setToolTip(
                f"How probable {last} is by all stains together. The layer 'changed', hidden at first, is "
                "magenta where a virtual stain changed the decision."
            )
            self.overlay.show_opacity(maps[0].opacity)

    def _maps(self, slide: Image) -> list[Image]:
        shown = self.shown.get(slide, []) if slide in self.found else []
        return [one for one in shown if one in self.dock.viewer.layers]

    def _show_overlay(self) -> None:
        if self.dock.layer is not None:
            for layer in self._maps(self.dock.layer):
                layer.opacity = self.overlay.opacity

    def _say_what_it_learnt(self) -> None:
        """What the classifier has learnt from, beside the choice: of anything else it knows nothing."""
        _, card = self.models.get(self.model.currentText(), (None, None))
        self.about.setText(what_it_learnt(card) if card is not None else "")
        self.about.setVisible(card is not None)

    def click(self, position: Sequence[float]) -> None:
        """Tell the decision on the patch at a place in the world, stain by stain."""
        slide = self.dock.layer
        found = self.found.get(slide) if slide is not None else None
        if (
            slide is None
            or found is None
            or not set(self.shown[slide]) & set(self.dock.viewer.layers)
        ):
            return
        y, x = slide.world_to_data(position)
        cell = found.probability.cell(float(y), float(x))
        if cell is None:
            return
        at = np.flatnonzero((found.cells == cell).all(1))
        if len(at):
            self.said.setText(decision_text(found, int(at[0])))

    def _classify(self) -> None:
        slide = self.dock.layer
        if slide is None:
            return
        folder, card = self.models[self.model.currentText()]
        try:
            self._refuse_other_stain(card)
            region = between.view_region(self.dock.viewer, slide)
        except PathoganError as error:
            self.said.setText(str(error))
            return
        self.said.setText("")
        events = class_events(between.slide_of(slide), folder, region)
        self.dock.start(events, "Classes", partial(self._lay, slide), lambda: None)

    def _refuse_other_stain(self, card: ModelCard) -> None:
        """Make sure that the slide has the stain that the classifier knows.

        Raises
        ------
        PathoganError
            If it has another, or nobody says which.
        """
        from napari_pathogan.tasks.virtual_stain.stains import stain_title  # noqa: PLC0415

        wanted, stain = str(card.settings["source_stain"]), self._stain()
        if stain != wanted:
            is_it = (
                f"this slide is {stain_title(stain)}" if stain else "say above which this slide has"
            )
            msg = f"{card.name} looks at slides in {stain_title(wanted)}; {is_it}"
            raise PathoganError(msg)

    def _lay(self, slide: Image, event: Finished) -> Iterator[None]:
        """Show the maps, in steps between which the window answers."""
        viewer = self.dock.viewer
        if slide not in viewer.layers:
            return
        found: ClassMap = event.result
        self.found[slide] = found
        for old in self.shown.pop(slide, []):
            if old in viewer.layers:
                viewer.layers.remove(old)
                yield
        about = {"synthetic": True, "g2c": found, "stains": list(found.said.stains)}
        self.shown[slide] = []
        for what in ("probability", "changed"):
            with between.selection_kept(viewer):
                layer = viewer.add_image(
                    getattr(found, what).data,
                    **class_image(what, found.said.classes[-1], slide.name),
                    metadata=about,
                    **between.place(getattr(found, what), slide),
                )
            layer.opacity = self.overlay.opacity
            self.shown[slide].append(layer)
            yield
        self.show_legend()
        self.said.setText(f"{found.text} Click a patch for its stains.")

    def _show_card(self) -> None:
        folder, card = self.models[self.model.currentText()]
        CardDialog(card, folder, self).show()


def what_it_learnt(card: ModelCard) -> str:
    """What a classifier has learnt from, and what it is not for, in a sentence or two of its card."""
    source = (
        card.training_data[0].name if card.training_data else "images that its card does not name"
    )
    not_for = next((one for one in card.not_for if one.startswith("images")), "")
    return (
        f"Learnt from {source}. {f'Not for {not_for}. ' if not_for else ''}"
        "How far this slide is from those is not measured."
    )


def decision_text(found: ClassMap, number: int) -> str:
    """A patch's decision in words, and what each stain adds to its logit."""
    from napari_pathogan.tasks.virtual_stain.stains import stain_title  # noqa: PLC0415

    said = found.said
    decision = int(said.decision[number])
    others = [k for k in range(len(said.classes)) if k != decision]
    parts = said.parts[number]
    for_it = parts[:, decision] - parts[:, others].mean(1)
    stains = [
        f"{'' if i == 0 else 'virtual '}{stain_title(stain)} {value:+.2f}"
        for i, (stain, value) in enumerate(zip(said.stains, for_it, strict=True))
    ]
    text = said.said(number, [stain_title(stain) for stain in said.stains])
    return f"{text[:1].upper()}{text[1:]}. For it speak: {', '.join(stains)}."

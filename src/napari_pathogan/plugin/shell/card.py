"""A model's card as a dialog: what it is for, what it learnt from, how well it does, its limits."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, QUrl
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QTextBrowser, QVBoxLayout, QWidget

if TYPE_CHECKING:
    from pathlib import Path

    from napari_pathogan.engine.models import Metric, ModelCard

_HEAT = "heat_map_"  # metrics of the heat map, which knows the neighbourhood
_NAMES = {
    "f1": "F1",
    "auc": "AUC",
    "auc_patient_mean": "AUC, mean of patients",
    "brier": "Brier score",
    "ece": "calibration error",
    "recall": "recall (sensitivity)",
    "tpr_at_0.25": "sensitivity at 0.25 false marks per image",
    "tpr_at_0.5": "sensitivity at 0.5 false marks per image",
    "tpr_at_0.8": "sensitivity at 0.8 false marks per image",
    "tpr_at_1": "sensitivity at 1 false mark per image",
    "tpr_at_2": "sensitivity at 2 false marks per image",
    "tpr_at_4": "sensitivity at 4 false marks per image",
}


class CardDialog(QDialog):
    """Show a model card beside the viewer; it does not block it."""

    def __init__(self, card: ModelCard, folder: Path, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(card.title)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(520, 640)
        page = QTextBrowser()
        page.setOpenExternalLinks(True)
        page.setHtml(card_html(card, folder))
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.close)
        column = QVBoxLayout(self)
        column.addWidget(page)
        column.addWidget(buttons)


def card_html(card: ModelCard, folder: Path) -> str:
    """Write the card as HTML; pictures beside it (a calibration plot) are shown at the end."""
    from napari_pathogan.library import gain_of  # noqa: PLC0415  (slow to import)

    parts = [f"<h2>{escape(card.title)}</h2>", f"<p><b>{escape(card.intended_use)}</b></p>"]
    if card.not_for:
        parts.append("<h3>Not for</h3>" + _list(card.not_for))
    if card.metrics:
        parts.append("<h3>On patients it had not seen</h3>" + _table(card.metrics))
        if card.measured_by:
            parts.append(f"<p>Measured by <code>{escape(card.measured_by)}</code></p>")
        if gained := gain_of(card):
            parts.append(f"<p>{escape(gained)}</p>")
    elif card.training_data:
        parts.append("<p>How well it does on patients it had not seen was not measured.</p>")
    if card.looks:
        parts.append(f"<p>Looked at: {escape(card.looks)}</p>")
    for checked in card.validated_on:
        place = f"{checked.where}, {checked.stain}, {checked.n_images} images"
        share = f": {checked.accuracy.percent} right" if checked.accuracy.value is not None else ""
        parts.append(f"<h3>Checked on</h3><p>{escape(place)}{share}.</p>")
    for data in card.training_data:
        count = f"{len(data.patients)} patient{'s' * (len(data.patients) != 1)}, {data.n_images:,} images"
        parts.append(f"<h3>Learnt from</h3><p>{escape(data.name)}: {count}</p>")
        parts.append(f"<p>Terms: {escape(data.terms)}</p><p>{escape(data.citation)}</p>")
    looks_at = f"{card.patch_px} px patches at {card.mpp:g} µm per pixel" if card.mpp else ""
    facts = [escape(card.architecture), looks_at, f"licence {escape(card.licence or 'not stated')}"]
    facts.append(f"weights {card.sha256[:12]}")
    parts.append("<h3>Make</h3><p>" + "; ".join(f for f in facts if f) + "</p>")
    for picture in sorted(folder.glob("*.png")):
        url = QUrl.fromLocalFile(str(picture)).toString()
        parts.append(f'<p><img src="{url}" width="440"></p>')
    return "\n".join(parts)


class ComparisonDialog(QDialog):
    """Two models of one task beside each other, the earlier one first."""

    def __init__(self, before: ModelCard, after: ModelCard, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"{before.name} and {after.name}")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(620, 520)
        self.page = QTextBrowser()
        self.page.setHtml(comparison_html(before, after))
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.close)
        column = QVBoxLayout(self)
        column.addWidget(self.page)
        column.addWidget(buttons)


def comparison_html(before: ModelCard, after: ModelCard) -> str:
    """Write what two cards say beside each other: figures, what they learnt from, terms."""
    cards = (before, after)
    shared = [name for name in before.metrics if name in after.metrics]
    rows = [["", *(card.name for card in cards)]]
    rows += [[metric_name(x), *(metric_text(card.metrics[x]) for card in cards)] for x in shared]
    rows.append(["learnt from", *(", ".join(x.name for x in c.training_data) for c in cards)])
    rows.append(["measured by", *(card.measured_by or "nothing" for card in cards)])
    rows.append(["licence", *(card.licence or "not stated" for card in cards)])
    alike = shared and before.measured_by == after.measured_by
    doubt = "Figures of the same name were measured on the same images only where the commands are alike."
    return _lines(rows) + ("" if alike else f"<p>{doubt}</p>")


def metric_name(name: str) -> str:
    """What a figure of a card is called."""
    if name.startswith(_HEAT):
        return f"{metric_name(name.removeprefix(_HEAT))}, heat map"
    return _NAMES.get(name, name.replace("_", " "))


def metric_text(metric: Metric) -> str:
    """``0.88 (0.84 to 0.91)``."""
    if metric.value is None:
        return "not measured"
    text = f"{metric.value:.2f}"
    if metric.low is not None and metric.high is not None:
        text += f" ({metric.low:.2f} to {metric.high:.2f})"
    return text


def _table(metrics: dict[str, Metric]) -> str:
    """One row a metric: patch by patch, and in the heat map, where the card has both."""
    single = {name: metric for name, metric in metrics.items() if not name.startswith(_HEAT)}
    columns = [
        single,
        {name.removeprefix(_HEAT): metrics[name] for name in metrics if name not in single},
    ]
    heads = ["one patch", "heat map"] if columns[1] else [""]
    rows = [["", *heads]]
    for name in dict.fromkeys((*columns[0], *columns[1])):
        cells = [metric_text(column[name]) if name in column else "" for column in columns]
        rows.append([metric_name(name), *cells[: len(heads)]])
    return _lines(rows)


def _lines(rows: list[list[str]]) -> str:
    """Rows of a table, each as cells of text."""
    lines = ("".join(f"<td>{escape(cell)}&nbsp;&nbsp;&nbsp;</td>" for cell in row) for row in rows)
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def _list(lines: tuple[str, ...]) -> str:
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"

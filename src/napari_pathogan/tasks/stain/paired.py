"""How close each method comes to the truth, where the same tissue was scanned twice.

Pairs are images of one name in two folders, registered to the pixel. They measure, and nothing is
ever fitted to them.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from napari_pathogan.engine.report import Report
from napari_pathogan.errors import DataFolderError, PathoganError
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks.stain.evaluate import figures, methods
from napari_pathogan.tasks.stain.glass import Glass

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from napari_pathogan.tasks.stain.data import StylePool
    from napari_pathogan.tasks.stain.model import StyleModel

MEASURES = ("psnr", "ssim")

Rows = dict[str, list[tuple[float, ...]]]


def evaluate_paired(source: StylePool, target: StylePool, style: StyleModel) -> Report:
    """Carry each image of ``source`` to a style and compare it with that of its name in ``target``.

    Each patient of the source counts as one slide, as in :func:`.evaluate.evaluate`; glass keeps
    its pixels, as it does in a slide that is saved.

    Returns
    -------
    Report
        ``<method>_psnr`` (dB) and ``<method>_ssim`` of RGB with a data range of 255, as scikit-image
        has them: means over images, with 95 % intervals from resampling patients. ``psnr`` and
        ``ssim`` are those of the scanner map, where the style has one, and of the network elsewhere.

    Raises
    ------
    DataFolderError
        If names do not match, two images of a name differ in size, or no slide can be carried over.
    """
    source, target, notes = matched(source, target)
    rows, patients, left_out = compared(source, target, style)
    if not patients:
        raise DataFolderError(f"no image of the source could be carried over: {left_out[-1]}")
    return report(rows, patients, style, (*notes, *left_out, *_seen(source, target, style)))


def matched(source: StylePool, target: StylePool) -> tuple[StylePool, StylePool, tuple[str, ...]]:
    """The images that both pools have, in one order, and a note of those that only one has.

    Raises
    ------
    DataFolderError
        If there are none, a name occurs twice, or two of a name differ in size.
    """
    stems = [[name.rpartition(".")[0] for name in pool.names] for pool in (source, target)]
    for which, names in zip(("SOURCE", "TARGET"), stems, strict=True):
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            msg = f"{which} has several images called {twice[0]}; pairs are told by their names"
            raise DataFolderError(msg)
    both = sorted(set(stems[0]) & set(stems[1]))
    skipped = [s for pool in (source, target) for s in pool.skipped[:1]]
    if not both:
        why = f" ({'; '.join(skipped)})" if skipped else ""
        msg = (
            "no image of SOURCE has the name of one of TARGET, and pairs are told by their names: "
            f"{source.names[0]} there, {target.names[0]} here{why}"
        )
        raise DataFolderError(msg)
    pools = [
        pool.ordered([names.index(name) for name in both])
        for pool, names in zip((source, target), stems, strict=True)
    ]
    for name, one, other in zip(both, pools[0].images, pools[1].images, strict=True):
        if one.shape != other.shape:
            sizes = [f"{x.shape[1]} x {x.shape[0]}" for x in (one, other)]
            msg = (
                f"{name} has {sizes[0]} px in SOURCE and {sizes[1]} in TARGET; pairs are of one "
                "size, registered to the pixel"
            )
            raise DataFolderError(msg)
    alone = len(source) + len(target) - 2 * len(both)
    notes = [f"{alone} images were left out: only one of the folders has them"] if alone else []
    files = sum(len(pool.skipped) for pool in (source, target))
    notes += [f"{files} files were left out, the first: {skipped[0]}"] if files else []
    return pools[0], pools[1], tuple(notes)


def compared(
    source: StylePool, target: StylePool, style: StyleModel
) -> tuple[Rows, list[str], tuple[str, ...]]:
    """Each method's PSNR and SSIM of each pair, the pairs' patients, and who was left out and why."""
    rows: Rows = {}
    patients: list[str] = []
    notes = []
    for patient in dict.fromkeys(source.patients):
        places = [i for i, name in enumerate(source.patients) if name == patient]
        images = tuple(source.images[i] for i in places)
        try:
            ways = dict(methods(images, style))
        except PathoganError as error:
            notes.append(f"patient {patient} was left out: {error}")
            continue
        for place, image in zip(places, images, strict=True):
            patients.append(patient)
            glass = Glass.of(Slide.from_arrays([image], name=source.names[place], mpp=style.mpp))
            soft = {} if style.scanner is None else {"scanner": style.scanner.softening(image)}
            for name, change in ways.items():
                made = glass.keep(image, change(image), (0, 0), (1, 1), by=soft.get(name))
                rows.setdefault(name, []).append(_close(made, target.images[place]))
    return rows, patients, tuple(notes)


def report(rows: Rows, patients: list[str], style: StyleModel, notes: tuple[str, ...]) -> Report:
    """Figures of all methods, those of the style's own way first."""
    metrics = figures(rows, patients, MEASURES)
    way = "scanner" if style.scanner is not None else "cnn"
    first = {what: metrics[f"{way}_{what}"] for what in MEASURES}
    words = {"scanner": "scanner map", "cnn": "network"}[way]
    said = [f"psnr (dB) and ssim, of RGB with a data range of 255, are those of the {words}"]
    if len(set(patients)) == 1:
        said.append("one patient alone: there is no interval")
    counts = {"n_images": len(patients), "n_patients": len(set(patients))}
    title = f"{len(patients)} pairs carried to {style.card.name}"
    return Report(title, {**first, **metrics}, counts, (*said, *notes))


def _close(made: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """PSNR in dB, at most 100, and SSIM."""
    if (made == truth).all():
        return 100.0, 1.0
    psnr = peak_signal_noise_ratio(truth, made, data_range=255)
    ssim = structural_similarity(truth, made, channel_axis=-1, data_range=255)
    return min(float(psnr), 100.0), float(ssim)


def _seen(source: StylePool, target: StylePool, style: StyleModel) -> Iterator[str]:
    seen = sorted(style.card.knows([*source.patients, *target.patients]))
    if seen:
        yield (
            f"the style was learned from {len(seen)} of these patients ({', '.join(seen)}), though "
            "not from pairs: its figures may be too good"
        )

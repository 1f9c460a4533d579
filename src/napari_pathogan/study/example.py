"""A study of drawn images with simulated readers, to see what a report says before there is one.

By default it is the study of Wu et al. 2019 (Generator-to-Classifier): 50 real and 50 generated
patches, three readers, 70 % right. The paper gives no more than that mean; here each reader is
right about 35 of 50 images of either kind.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy import ndimage

from napari_pathogan.engine.events import Event, Finished, Progress
from napari_pathogan.study.config import make_config
from napari_pathogan.study.design import check_room, new_study
from napari_pathogan.study.layout import Key, read_key
from napari_pathogan.study.record import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_pathogan.study.record import Study, Trial

_SIDE = 64
_CHANGES_MIND = 0.15  # chance of another answer to an image shown again
_PINK, _PURPLE = np.array([0.08, 0.55, 0.25]), np.array([0.65, 0.75, 0.35])


def example(folder: Path, *, right: int = 70, readers: int = 3) -> Iterator[Event]:
    """Make the study, and let each reader answer; right about ``right`` of 100 images.

    Raises
    ------
    OutputError
        If the folder holds something already or can't be written.
    """
    check_room(folder)
    with tempfile.TemporaryDirectory() as room:
        real = Path(room) / "drawn, coarse"
        generated = Path(room) / "drawn, fine"
        for place, sigma, seed in ((real, 2.5, 0), (generated, 1.6, 1)):
            place.mkdir()
            for number, image in enumerate(draw(56, sigma, seed)):
                Image.fromarray(image).save(place / f"{number:02}.png")
        config = make_config(
            {
                "name": "Example: drawn images, simulated readers",
                "real": [{"folder": real}],
                "generated": [{"folder": generated}],
            }
        )
        made: Event | None = None
        for made in new_study(config, folder):
            if not isinstance(made, Finished):
                yield made
    assert isinstance(made, Finished)
    study = made.result
    key = read_key(folder, None, study.manifest)
    for number in range(readers):
        yield Progress(number, readers, f"reader {number + 1} answers")
        _let_answer(study, key, f"Reader {number + 1}", right, number)
    yield Finished(study, {**made.summary, "readers": readers})


def draw(n: int, sigma: float, seed: int) -> np.ndarray:
    """Textures in the colours of H&E, uint8 (n, 64, 64, 3); nuclei of about ``sigma`` px."""
    rng = np.random.default_rng(seed)
    nuclei, fibres = rng.standard_normal((2, n, _SIDE, _SIDE))
    nuclei = ndimage.gaussian_filter(nuclei, (0, sigma, sigma), mode="wrap")
    fibres = ndimage.gaussian_filter(fibres, (0, 2 * sigma, sigma / 2), mode="wrap")
    blue = 1 / (1 + np.exp(-6 * (nuclei / nuclei.std() - 0.9)))
    density = (0.5 + 0.25 * fibres / fibres.std())[..., None] * _PINK + blue[..., None] * _PURPLE
    return np.clip(245 * np.exp(-density), 0, 255).astype(np.uint8)


def _let_answer(study: Study, key: Key, name: str, right: int, seed: int) -> None:
    """Answer all trials: so many of the images that count are right, of both kinds alike.

    Everything hangs on where an image came from, not on its secret id, so that it comes out the
    same in every study.
    """
    counted = {x.images[0] for x in study.manifest.items if x.kind == "study"}
    rng = np.random.default_rng(seed)
    known: dict[str, bool] = {}
    for real in (True, False):
        origins = sorted(key.truth[x].origin for x in counted if key.truth[x].real is real)
        share = (right + real) // 2  # an odd one goes to the real images
        sees = np.arange(len(origins)) < share
        known |= dict(zip(rng.permutation(origins).tolist(), sees.tolist(), strict=True))

    def judge(images: tuple[str, ...], trial: Trial) -> tuple[str, int, float]:
        truth = key.truth[images[0]]
        again = trial.id.endswith(".2")
        own = np.random.default_rng([seed, again, *Path(truth.origin).stem.encode(), truth.real])
        sees = known.get(truth.origin, True)
        if again and own.random() < _CHANGES_MIND:
            sees = not sees
        sure = int(np.clip(round(own.normal(3.6 if sees else 2.4, 1.1)), 1, 5))
        choice = "real" if truth.real is sees else "generated"
        return choice, sure, float(own.lognormal(1.6, 0.5))

    play(study, name, judge)


def play(
    study: Study,
    name: str,
    judge: Callable[[tuple[str, ...], Trial], tuple[str, int, float]],
) -> None:
    """Answer all that is left of a reader's trials by a function.

    Parameters
    ----------
    judge
        Ids of the images shown, and the trial -> choice, confidence and seconds.
    """
    with Session.open(study, name) as session:
        while (trial := session.trial) is not None:
            session.answer(*judge(session.images, trial), trial=trial.id)

"""The embedded blending network: what its card says, and what it does with a breast it never saw."""

from __future__ import annotations

import numpy as np
import pytest
from breast_phantoms import SHAPE, disc, mammogram
from scipy import ndimage

from napari_pathogan.engine.models import read_card, zoo
from napari_pathogan.tasks.blending.blend import blend
from napari_pathogan.tasks.blending.lesions import cut, lesions, normals
from napari_pathogan.tasks.blending.model import TASK, BlendModel
from napari_pathogan.tasks.masses.data import read_mass_folder


@pytest.fixture(scope="module")
def model():
    return BlendModel.load(device="cpu")


def test_the_card_says_what_a_user_must_know():
    card = read_card(zoo() / TASK)
    assert "synthetic" in card.title
    assert "INbreast" in card.training_data[0].name
    assert "research use only" in card.training_data[0].terms
    assert "research use only" in card.licence
    assert "Moreira" in card.training_data[0].citation
    assert any("real" in line for line in card.not_for)
    assert card.settings == {"method": "blending", "working_px": 512}
    assert (zoo() / TASK / "weights.safetensors").stat().st_size < 2e6


def steps(image, made):
    """How far apart the two sides of the region's border are, on average around it."""
    outside = ndimage.binary_dilation(made.region, iterations=2) & ~made.region
    inside = made.region & ~ndimage.binary_erosion(made.region, iterations=2)
    return abs(float(image[outside].mean() - image[inside].mean()))


@pytest.mark.learning
@pytest.mark.parametrize("level", [0.3, 0.6])
def test_a_mass_grows_without_a_seam(model, level):
    sick = mammogram(60, masses=[(170, 80, 14)], level=0.45)
    lesion = cut(sick, disc(SHAPE, (170, 80), 14))
    healthy = mammogram(50, level=level)
    made = blend(healthy, lesion, (150, 70), model=model)
    assert steps(made.image, made) < 0.5 * steps(made.pasted, made)
    ring = made.region & ~made.mask
    contrast = [float(i[made.mask].mean() - i[ring].mean()) for i in (made.image, made.pasted)]
    assert 0.35 < contrast[0] / contrast[1] < 1.5
    apart = ndimage.distance_transform_edt(~made.region)
    assert np.abs(made.image - healthy)[(apart > 0) & (apart < 8)].mean() < 0.01
    assert (made.image[apart >= 8] == healthy[apart >= 8]).all()


def test_real_masses_stay_visible(model, data):
    """Four real ones, in four healthy breasts: at least half of their contrast is left."""
    folder = read_mass_folder(data / "inbreast")
    with_masses = np.flatnonzero(folder.n_masses)[10:30:7]
    found = lesions(folder.subset(with_masses))
    kept = []
    for source, lesion in zip(normals(folder)[::40], found, strict=False):
        healthy = folder.image(int(source))
        centre = tuple(np.argwhere(healthy > 0.3).mean(0))
        made = blend(healthy, lesion, centre, model=model)
        ring = made.region & ~made.mask
        change = made.image - healthy
        own = lesion.patch[lesion.mask].mean() - lesion.patch[lesion.region & ~lesion.mask].mean()
        kept.append((change[made.mask].mean() - change[ring].mean()) / own)
    assert len(kept) == 4
    assert np.median(kept) > 0.5

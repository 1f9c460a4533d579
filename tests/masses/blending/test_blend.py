"""Growing a lesion: what changes and what does not, at any scale, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from breast_phantoms import SHAPE, disc, mammogram, texture
from scipy import ndimage

from napari_pathogan.engine.devices import Device
from napari_pathogan.engine.models import ModelCard
from napari_pathogan.errors import DataFolderError, ModelError
from napari_pathogan.tasks.blending.blend import BlendError, blend, loss_maps
from napari_pathogan.tasks.blending.lesions import cut, normals
from napari_pathogan.tasks.blending.model import TASK, BlendModel
from napari_pathogan.tasks.blending.network import Generator
from napari_pathogan.tasks.blending.placing import PlacingError, places
from napari_pathogan.tasks.blending.synthesise import synthesise

CENTRE = (150.0, 70.0)


def untrained(method="blending", *, offset=0.0):
    """A network that gives back the pasted image, or that and an offset everywhere."""
    network = Generator(2)
    torch.nn.init.constant_(network.adds[-1].bias[1:], offset)
    settings = {"method": method, "working_px": 512}
    card = ModelCard(name="raw", title="raw", task=TASK, architecture="x", settings=settings)
    return BlendModel(card, network, Device("cpu", torch.float32))


@pytest.fixture(scope="module")
def healthy():
    return mammogram(50, level=0.5)


@pytest.fixture(scope="module")
def lesion():
    sick = mammogram(60, masses=[(170, 80, 14)], level=0.35)
    return cut(sick, disc(SHAPE, (170, 80), 14), name="one")


def test_poisson_keeps_the_mass_and_loses_the_seam(healthy, lesion):
    made = blend(healthy, lesion, CENTRE, method="poisson")
    ring = made.region & ~made.mask
    contrast = made.image[made.mask].mean() - made.image[ring].mean()
    assert 0.6 < contrast / (lesion.patch[lesion.mask].mean() - 0.35) < 1.2
    outside = ndimage.binary_dilation(made.region) & ~made.region
    inside = made.region & ~ndimage.binary_erosion(made.region)
    steps = [abs(i[outside].mean() - i[inside].mean()) for i in (made.pasted, made.image)]
    assert steps[0] > 0.1  # the lesion comes from a darker breast
    assert steps[1] < 0.2 * steps[0]
    np.testing.assert_array_equal(made.image[~made.region], healthy[~made.region])
    x0, y0, x1, y1 = made.box
    rows, columns = np.nonzero(made.mask)
    assert (x0, y0, x1, y1) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert made.box.dtype == made.image.dtype == np.float32


def test_a_network_that_adds_nothing_pastes(healthy, lesion):
    made = blend(healthy, lesion, CENTRE, model=untrained())
    np.testing.assert_allclose(made.image, made.pasted, atol=1e-6)


def test_what_a_network_changes_stays_near(healthy, lesion):
    made = blend(healthy, lesion, CENTRE, model=untrained(offset=0.1))
    apart = ndimage.distance_transform_edt(~made.region)
    np.testing.assert_allclose(made.image[made.region], made.pasted[made.region] + 0.1, atol=1e-5)
    assert (made.image[apart >= 8] == healthy[apart >= 8]).all()
    fading = made.image - healthy
    assert fading[(apart > 1) & (apart < 2)].min() > fading[(apart > 6) & (apart < 7)].max()


def test_a_turned_and_resized_lesion_has_the_box_of_what_is_seen(healthy, lesion):
    once = blend(healthy, lesion, CENTRE, method="poisson")
    twice = blend(healthy, lesion, CENTRE, scale=2, angle=30, method="poisson")
    assert np.ptp(twice.box[::2]) == pytest.approx(2 * np.ptp(once.box[::2]), abs=3)
    assert twice.mask.sum() == pytest.approx(4 * once.mask.sum(), rel=0.05)


def test_larger_images_are_worked_on_at_the_same_scale(lesion):
    """Four times as many pixels a side: the same lesion, no seam, and detail of the full size."""
    shape = (1280, 960)
    large = np.clip(ndimage.zoom(mammogram(50, level=0.5), 4, order=1), 0, 1)
    large += 0.02 * texture(shape, 3, 0.8) * (large > 0.2)
    centre = (4 * CENTRE[0], 4 * CENTRE[1])
    made = blend(large, lesion, centre, method="poisson")
    assert made.image.shape == shape
    assert made.mask.sum() == pytest.approx(16 * lesion.mask.sum(), rel=0.05)
    apart = ndimage.distance_transform_edt(~made.region)
    assert np.abs(made.image - large)[apart > 16].max() == 0
    edge = (apart > 0) & (apart <= 4)
    inner = (ndimage.distance_transform_edt(made.region) <= 4) & made.region
    assert abs(made.image[edge].mean() - made.image[inner].mean()) < 0.02
    assert abs(made.pasted[edge].mean() - made.pasted[inner].mean()) > 0.1


def test_fine_detail_inside_is_the_lesions(lesion):
    shape = (1280, 960)
    smooth = np.full(shape, 0.5, np.float32)
    fine = np.clip(ndimage.zoom(lesion.patch, 4, order=1), 0, 1)
    fine += 0.05 * texture(fine.shape, 8, 0.7)
    masks = [ndimage.zoom(m, 4, order=0) for m in (lesion.mask, lesion.region)]
    made = blend(smooth, type(lesion)(fine, *masks), (640, 400), method="poisson")
    inside = ndimage.binary_erosion(made.mask, iterations=8)

    def detail(image):
        return (image - ndimage.gaussian_filter(image, 1.5))[inside]

    match = np.corrcoef(detail(made.image), detail(made.pasted))[0, 1]
    assert match > 0.9
    assert detail(made.image).std() == pytest.approx(detail(made.pasted).std(), rel=0.2)


def test_noise_takes_the_lesions_place(healthy, lesion):
    raw = untrained("adversarial")
    made, again, other = (
        blend(healthy, lesion, CENTRE, method="adversarial", model=raw, seed=s) for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(made.image, again.image)
    assert not np.array_equal(made.image, other.image)
    assert made.image[made.mask].std() > 0.2
    assert abs(np.corrcoef(made.image[made.mask], made.pasted[made.mask])[0, 1]) < 0.15


def test_loss_maps_show_where_it_is_wrong(healthy, lesion):
    made = blend(healthy, lesion, CENTRE, method="poisson")
    maps = loss_maps(made)
    raw = loss_maps(made, made.pasted)
    assert {k: (v.shape, v.dtype) for k, v in maps.items()} == dict.fromkeys(
        ("seamless", "background"), (SHAPE, np.float32)
    )
    assert maps["seamless"].sum() < 0.5 * raw["seamless"].sum()
    border = ndimage.binary_dilation(made.region) & ~ndimage.binary_erosion(made.region)
    assert raw["seamless"][border].sum() > 0.8 * raw["seamless"].sum()  # the seam
    assert maps["background"].max() < 1e-10
    brighter = np.where(made.region, made.image, made.image + 0.1)
    wrong = loss_maps(made, brighter)["background"]
    assert wrong[~made.region].sum() > 0
    assert (wrong[made.region] == 0).all()


def test_models_and_methods_must_match(healthy, lesion):
    with pytest.raises(ModelError, match="adversarial needs a model of its own, and no model"):
        blend(healthy, lesion, CENTRE, method="adversarial")
    with pytest.raises(ModelError, match="'raw' is of blending"):
        blend(healthy, lesion, CENTRE, method="adversarial", model=untrained())
    with pytest.raises(ModelError, match="'raw' is of adversarial"):
        blend(healthy, lesion, CENTRE, model=untrained("adversarial"))


def test_a_place_outside_of_the_image(healthy, lesion):
    with pytest.raises(BlendError, match="one at -90, 70 px would lie outside"):
        blend(healthy, lesion, (-90, 70), method="poisson")
    made = blend(healthy, lesion, (160, 0), method="poisson")  # half of it is
    assert made.box[0] == 0
    assert made.image.shape == SHAPE


def test_a_place_is_checked(healthy, lesion):
    free = places(healthy, "CC")
    free.check(CENTRE, lesion.radius)
    with pytest.raises(PlacingError, match=r"does not fit at row 150, column 2: .* smaller mass"):
        free.check((150, 2), lesion.radius)
    with pytest.raises(PlacingError, match="does not fit"):
        free.check((-10, 70), 1)


def test_synthetic_images_of_a_folder(folder):
    made = list(synthesise(folder, 5, method="poisson", seed=4))
    healthy = normals(folder).tolist()
    sources = [one.source for one in made]
    assert set(sources) == set(healthy)
    assert max(map(sources.count, healthy)) <= 2
    for one in made:
        assert one.boxes.shape == (1, 4)
        assert one.mask.shape == (1, *SHAPE)
        assert one.mask.dtype == bool
        rows, columns = np.nonzero(one.mask[0])
        assert one.boxes[0].tolist() == [
            columns.min(),
            rows.min(),
            columns.max() + 1,
            rows.max() + 1,
        ]
        assert one.lesion in {"a1, mass 1", "b1, mass 1"}
        assert 0.7 < one.scale < 1.4
        changed = np.abs(one.image - folder.image(one.source)) > 1e-6
        assert changed[one.mask[0]].mean() > 0.5
    again = list(synthesise(folder, 5, method="poisson", seed=4))
    other = next(synthesise(folder, 1, method="poisson", seed=5))
    np.testing.assert_array_equal(made[4].image, again[4].image)
    assert not np.array_equal(made[0].image, other.image)


def test_methods_are_compared_on_the_same_places(folder):
    one, two = (
        next(synthesise(folder, 1, method=method, seed=4, model=model))
        for method, model in (("poisson", None), ("blending", untrained()))
    )
    np.testing.assert_array_equal(one.mask, two.mask)
    assert one.source == two.source


def test_folders_that_do_not_serve(folder):
    with pytest.raises(DataFolderError, match="nothing to blend into"):
        next(synthesise(folder.subset([0, 1]), 1, method="poisson", seed=0))
    with pytest.raises(DataFolderError, match="no lesion to blend"):
        next(synthesise(folder.subset([2, 3]), 1, method="poisson", seed=0))


def test_no_room_for_any_lesion(folder, monkeypatch):
    from napari_pathogan.tasks.blending import synthesise as module

    monkeypatch.setattr(module, "_SCALES", (40.0, 41.0))
    with pytest.raises(PlacingError, match="none of the 3 healthy images has room"):
        next(synthesise(folder, 1, method="poisson", seed=0))

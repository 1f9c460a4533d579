from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from PIL import Image
from stain_phantoms import TINY, make_pool, two_stains

from napari_pathogan.colour.baselines import Reinhard
from napari_pathogan.colour.histograms import euclidean, histogram
from napari_pathogan.colour.stained import tissue_tiles
from napari_pathogan.engine.events import Finished, Warn
from napari_pathogan.engine.runs import RunFolder
from napari_pathogan.errors import NoTissueError, SlideFormatError, UnknownScaleError
from napari_pathogan.slides.geometry import Region
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks.stain.contract import write_transferred
from napari_pathogan.tasks.stain.data import StylePool
from napari_pathogan.tasks.stain.evaluate import METHODS, evaluate
from napari_pathogan.tasks.stain.export import write_slide
from napari_pathogan.tasks.stain.learn import learn
from napari_pathogan.tasks.stain.levels import FULL_STAIN, stains, transferred
from napari_pathogan.tasks.stain.model import StyleModel
from napari_pathogan.tasks.stain.predict import Method, StyleScaleError, fit, fit_reference

COMMAND = ("stain",)


OTHER = {"vectors": ((0.65, 0.70, 0.29), (0.30, 0.90, 0.30)), "amount": (1.3, 0.8)}
THIRD = {"vectors": ((0.6, 0.65, 0.45), (0.25, 0.85, 0.45)), "amount": (1.6, 1.2)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, seed):
    """A style learned from a few pictures in a second."""
    run = RunFolder(tmp_path_factory.mktemp("style") / "run")
    run.start({})
    config = replace(TINY, seed=seed)
    others = StylePool(
        tuple(two_stains(96, seed, **THIRD) for seed in range(20, 26)),
        tuple(f"{p}_{k}.png" for p in "xyz" for k in range(2)),
        tuple("xxyyzz"),
        (0,) * 6,
    )
    *_, end = learn(make_pool(), config, run, holdout=0, mpp=0.5, from_pool=others, name="mine")
    assert isinstance(end, Finished)
    return run.model


@pytest.fixture(scope="module")
def style(folder):
    return StyleModel.load(folder, "cpu")


def slide_of(image: np.ndarray, mpp: float | None = 0.5) -> Slide:
    return Slide.from_arrays([image], name="case", mpp=mpp)


@pytest.mark.parametrize("method", list(Method))
def test_a_view_is_the_same_however_it_is_cut(style, method):
    image = two_stains(700, **OTHER)
    slide = slide_of(image)
    view = transferred(slide, fit(slide, style, method))
    whole = np.asarray(view.levels[0])
    assert whole.shape == image.shape
    assert not (whole == image).all()
    again = transferred(slide, fit(slide, style, method))
    for y, x, h, w in ((0, 0, 40, 40), (333, 217, 190, 301), (505, 510, 20, 9)):
        part = again.read(Region(y, x, h, w))
        assert np.abs(part.astype(int) - whole[y : y + h, x : x + w]).max() <= 1


@pytest.mark.learning
@pytest.mark.parametrize("mpp", [0.25, 0.4, 0.61])
def test_a_slide_at_another_scale_gets_its_colours_at_the_styles_scale(style, mpp, measured):
    image = two_stains(420, **OTHER)
    slide = slide_of(image, mpp)
    made = np.asarray(transferred(slide, fit(slide, style, Method.cnn)).levels[0])
    light = [np.asarray(Image.fromarray(x).convert("L"), float) for x in (image, made)]
    assert measured("lightness", np.corrcoef(light[0].ravel(), light[1].ravel())[0, 1]) > 0.97
    parts = [
        transferred(slide, fit(slide, style, Method.cnn)).read(Region(0, x, 420, 210))
        for x in (0, 210)
    ]
    assert np.abs(np.hstack(parts).astype(int) - made).max() <= 1


def test_colours_lie_where_the_tissue_lies(style, monkeypatch):
    """A network that answers with its own lightness shows where its answer is put."""
    image = two_stains(420, **OTHER)
    slide = slide_of(image, 0.25)
    transfer = fit(slide, style, Method.cnn)
    monkeypatch.setattr(
        type(style), "colour", lambda _, light, vector=None: np.dstack([light - 50, light * 0])
    )
    view = transferred(slide, transfer)
    level = view.levels[0]
    from napari_pathogan.colour.lab import lightness, to_lab

    a = to_lab(np.asarray(level))[..., 1]
    smooth = np.asarray(Image.fromarray(lightness(image)).resize((210, 210), Image.Resampling.BOX))
    wanted = np.asarray(Image.fromarray(smooth - 50).resize((420, 420), Image.Resampling.BILINEAR))
    inside = np.s_[60:-60, 60:-60]
    best = max(
        ((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)),
        key=lambda d: np.corrcoef(np.roll(a, d, (0, 1))[inside].ravel(), wanted[inside].ravel())[
            0, 1
        ],
    )
    assert best == (0, 0)


def test_coarse_levels_are_the_students(style):
    slide = slide_of(two_stains(2300, **OTHER))
    transfer = fit(slide, style, Method.cnn)
    view = transferred(slide, transfer)
    assert view.downsamples == slide.downsamples
    coarse, own = np.asarray(view.levels[-1]), np.asarray(slide.levels[-1])
    stained = own.min(-1) < 190  # what is paler is partly glass
    assert stained.any()
    assert (coarse == transfer.pixelwise(own))[stained].all()
    assert transfer.student_error > 0


def test_only_what_is_looked_at_is_computed(style, monkeypatch):
    calls = []
    colour = type(style).colour
    slide = slide_of(two_stains(2300, **OTHER))
    transfer = fit(slide, style, Method.cnn)
    monkeypatch.setattr(
        type(style),
        "colour",
        lambda self, light, v=None: calls.append(light.shape) or colour(self, light, v),
    )
    view = transferred(slide, transfer)
    assert not calls
    view.read(Region(1000, 1000, 64, 64))
    assert 1 <= len(calls) <= 4


def test_a_reference_image_sets_the_colours():
    slide = slide_of(two_stains(300, seed=1))
    target = two_stains(300, seed=2, **OTHER)
    for method in (Method.macenko, Method.reinhard):
        made = np.asarray(transferred(slide, fit_reference(slide, target, method, "ref")).levels[0])
        before, after = (Reinhard.fit(x) for x in (two_stains(300, seed=1), made))
        assert after.distance(Reinhard.fit(target)) < 0.5 * before.distance(Reinhard.fit(target))
    with pytest.raises(NoTissueError):
        fit_reference(slide, np.full((50, 50, 3), 250, np.uint8), Method.macenko, "white")


def test_white_grey_coarse_and_unknown(style):
    with pytest.raises(NoTissueError, match="no tissue"):
        fit(slide_of(np.full((400, 400, 3), 244, np.uint8)), style)
    with pytest.raises(SlideFormatError, match="grey"):
        fit(slide_of(two_stains()[..., 0]), style)
    with pytest.raises(StyleScaleError, match="too coarse"):
        fit(slide_of(two_stains(), 4.0), style, Method.cnn)
    with pytest.raises(StyleScaleError, match=r"choose the style stain-crc \(0.55 um\), Macenko"):
        fit(slide_of(two_stains(), 0.499), StyleModel.load("stain-tnbc", "cpu"), Method.cnn)
    with pytest.raises(UnknownScaleError, match="um per pixel"):
        fit(slide_of(two_stains(), None), style, Method.cnn)
    assert fit(slide_of(two_stains(), None), style, Method.reinhard).method == Method.reinhard


def test_colours_far_from_the_pool_are_said(style):
    near, far = two_stains(300, seed=9), 255 - two_stains(300, seed=9)[..., ::-1] // 2
    far[:, :40] = 245
    assert not fit(slide_of(near), style, Method.reinhard).notes
    (note,) = fit(slide_of(far), style, Method.reinhard).notes
    assert "far from those" in note


def test_tiles_lie_on_tissue():
    image = np.full((2000, 2000, 3), 244, np.uint8)
    image[300:1100, 500:1500] = two_stains(1000)[:800]
    tiles = tissue_tiles(slide_of(image), 0.5)
    assert 1 <= len(tiles) <= 16
    assert all((tile < 200).any() for tile in tiles)


def test_a_transferred_slide_is_written_and_opened_again(style, tmp_path):
    slide = slide_of(two_stains(1301, **OTHER)[:, :1200])
    view = transferred(slide, fit(slide, style, Method.lut))
    events = list(write_slide(tmp_path / "out.ome.zarr", view))
    assert events[-1].done == events[-1].total
    with Slide.open(tmp_path / "out.ome.zarr") as again:
        assert again.mpp == (0.5, 0.5)
        assert (np.asarray(again.levels[0]) == np.asarray(view.levels[0])).all()
    about = json.loads((tmp_path / "out.ome.zarr/zarr.json").read_text())["attributes"]
    assert about["pathogan"] == {
        "kind": "slide in other colours",
        "synthetic": True,
        "stain_style": "mine",
        "stain_method": "lut",
        "stain_colours_of": "mine",
        "stain_slide": slide.name,
        "stain_imprint": str(slide.imprint),
    }


def test_what_could_not_be_read_is_said_and_written(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, two_stains(1024, **OTHER), tile=(256, 256), compression="zlib", metadata=None
    )
    with tifffile.TiffFile(path) as file:
        at, count = file.pages[0].dataoffsets[5], file.pages[0].databytecounts[5]
    torn = bytearray(path.read_bytes())
    torn[at : at + count] = bytes(count)
    path.write_bytes(torn)
    with Slide.open(path, mpp=0.5) as slide:
        transfer = fit_reference(slide, two_stains(512).reshape(-1, 3), Method.reinhard, "other")
        events = list(write_transferred(tmp_path / "out.ome.zarr", transfer, source=slide))
    said = [event.message for event in events if isinstance(event, Warn)]
    assert "tile at row 1, column 1 of level 0" in said[0]
    about = json.loads((tmp_path / "out.ome.zarr/zarr.json").read_text())["attributes"]
    assert about["pathogan"]["notes"] == said


def test_a_writing_that_is_stopped_leaves_nothing(style, tmp_path):
    slide = slide_of(two_stains(1100))
    events = write_slide(
        tmp_path / "out.ome.zarr", transferred(slide, fit(slide, style, Method.lut))
    )
    next(events)
    events.close()
    assert not list(tmp_path.glob("*out*"))
    assert not list(tmp_path.glob(".*out*"))


def test_the_papers_table(style):
    pool = make_pool()
    source = type(pool)(
        tuple(two_stains(96, k, **OTHER) for k in range(4)), tuple("abcd"), tuple("wxyz"), (0,) * 4
    )
    report = evaluate(source, pool, style)
    figures = report.to_dict()
    for method in METHODS:
        assert 0 <= figures[f"{method}_hellinger"]["value"] <= 1
        assert figures[f"{method}_euclidean"]["low"] <= figures[f"{method}_euclidean"]["value"]
    assert figures["none_ssim"]["value"] == pytest.approx(1)
    assert figures["reinhard_euclidean"]["value"] < figures["none_euclidean"]["value"]
    assert figures["n_patients"] == 4
    assert any("too good" in note for note in report.notes)


def test_command_line(tmp_path, folder, exit_code, capsys):
    Image.fromarray(two_stains(300, **OTHER)).save(tmp_path / "case.png")
    out = tmp_path / "out.ome.zarr"
    case = ("apply", tmp_path / "case.png", "--style", folder, "-o", out)
    assert exit_code(*case, "--mpp", 0.5, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    ranked = {name: figures["distance"] for name, figures in told["measured"].items()}
    assert len(ranked) == len(Method)
    assert told["method"] == min(ranked, key=ranked.get)
    assert exit_code(*case[:-1], tmp_path / "2.ome.zarr", "--mpp", 0.5) == 0
    assert "measured closest on this slide (distance" in capsys.readouterr().out
    assert exit_code(*case, "--method", "cnn") == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "um per pixel" in line


def test_stains_are_grey_slides_of_the_same_size():
    slide = slide_of(two_stains(700))
    haematoxylin, eosin = stains(slide)
    assert haematoxylin.shape == eosin.shape == slide.shape
    assert not haematoxylin.is_rgb
    image, h, e = (np.asarray(x.levels[0]) for x in (slide, haematoxylin, eosin))
    glass = (image > 235).all(-1)
    assert h[glass].mean() < 10
    assert e[glass].mean() < 10
    assert np.percentile(h[~glass], 99) == pytest.approx(FULL_STAIN, abs=20)
    nuclei = image[..., 0] < 100
    assert h[nuclei].mean() > 2 * e[nuclei].mean()


def test_a_reference_gives_its_global_features_to_the_network(style):
    slide = slide_of(two_stains(300, **OTHER))
    own = fit(slide, style, Method.cnn)
    other = fit(slide, style, Method.cnn, reference=two_stains(300, seed=7))
    assert own.vector is None
    assert other.vector.shape == style.style.shape
    with pytest.raises(NoTissueError, match="reference"):
        fit(slide, style, Method.cnn, reference=np.full((64, 64, 3), 244, np.uint8))


@pytest.mark.learning
def test_the_finish_goes_towards_a_reference_instead_of_the_pool(style, measured):
    slide = slide_of(two_stains(300, **OTHER))
    wanted = two_stains(300, seed=7, vectors=((0.4, 0.6, 0.7), (0.2, 0.5, 0.85)))
    to_pool, to_wanted = (
        np.asarray(transferred(slide, fit(slide, style, Method.cnn, reference=reference)).levels[0])
        for reference in (None, wanted)
    )
    goal = histogram([wanted])
    gain = euclidean(histogram([to_pool]), goal) - euclidean(histogram([to_wanted]), goal)
    assert measured("gain", gain) > 0.05

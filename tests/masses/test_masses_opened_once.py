"""Each image is decoded once, whoever asks, and its file is opened no oftener than needed."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pydicom
import pytest
import tifffile
from mass_dicom import write_image
from mass_folders import BrightDiscs
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from napari_pathogan.mammograms.dicom import pixels
from napari_pathogan.mammograms.study import examinations, open_mammogram
from napari_pathogan.plugin.viewer.reader import read
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks.masses.model import NOTHING, MassModel

GREY = np.tile(np.arange(200, dtype=np.uint8), (100, 1))
_counting: list[Counter] = []


def _watch(event, arguments):
    if event == "open" and _counting and isinstance(arguments[0], str | Path):
        _counting[-1][Path(arguments[0]).name] += 1


sys.addaudithook(_watch)  # for good: there is no way to take one back


@pytest.fixture
def study(tmp_path):
    folder = tmp_path / "study"
    folder.mkdir()
    for view in ("CC", "MLO"):
        write_image(folder / f"{view}.dcm", ViewPosition=view, StudyInstanceUID="1.2.3")
    return folder


@pytest.fixture
def counts(monkeypatch):
    """What is decoded, which headers are parsed, and opens of files, by their names."""
    decoded, headers = Counter(), Counter()
    decode, parse, open_slide = pixels.decode, pydicom.dcmread, Slide.open

    def opening(path, **options):
        decoded[path.name] += 1
        return open_slide(path, **options)

    def decoding(header, name):
        decoded[name] += 1
        return decode(header, name)

    def parsing(path, **options):
        headers[Path(path.name).name] += 1  # a path, or a file that is open
        return parse(path, **options)

    monkeypatch.setattr(Slide, "open", opening)
    monkeypatch.setattr(pixels, "decode", decoding)
    monkeypatch.setattr(pydicom, "dcmread", parsing)
    _counting.append(Counter())
    yield decoded, headers, _counting[-1]
    _counting.pop()


@pytest.fixture
def command(typed, monkeypatch):
    monkeypatch.setattr(BrightDiscs, "detect", lambda *_: NOTHING)
    monkeypatch.setattr(MassModel, "load", lambda *_: BrightDiscs())
    return typed


@pytest.mark.parametrize("who", ["study", "viewer", "info", "detect"])
def test_a_folder_of_dicom_is_decoded_once(study, counts, command, who):
    """Its headers are read twice: which images belong together is known before one is opened."""
    match who:
        case "study":
            [one.open() for one in examinations(study)]
        case "viewer":
            read(str(study))
        case "info":
            command("info", study)
        case _:
            command("masses", "detect", study)
    decoded, headers, _ = counts
    assert decoded == {"CC.dcm": 1, "MLO.dcm": 1}
    assert headers == {"CC.dcm": 2, "MLO.dcm": 2}


@pytest.mark.parametrize("name", ["a_R_CC.png", "a_R_CC.tif"])
@pytest.mark.parametrize("who", ["mammogram", "viewer", "info", "detect"])
def test_a_grey_file_is_opened_once_as_an_image(tmp_path, counts, command, who, name):
    path = tmp_path / name
    Image.fromarray(GREY).save(path) if path.suffix == ".png" else tifffile.imwrite(path, GREY)
    decoded, _, opens = counts
    opens.clear()
    match who:
        case "mammogram":
            open_mammogram(path)
        case "viewer":
            read(str(path))
        case "info":
            command("info", path)
        case _:
            command("masses", "detect", path)
    assert decoded == {name: 1}
    # what is open as an image, and glances at its first bytes: is it DICOM, is it ours, of what
    # kind, by which maker, does a TIFF have to be put together
    assert opens[name] <= 7


def test_a_png_that_says_so_is_synthetic(tmp_path):
    about, text = Image.fromarray(GREY), PngInfo()
    text.add_text("synthetic", "True")
    about.save(tmp_path / "a.png", pnginfo=text)
    assert open_mammogram(tmp_path / "a.png").synthetic
    about.save(tmp_path / "b.png")
    assert not open_mammogram(tmp_path / "b.png").synthetic

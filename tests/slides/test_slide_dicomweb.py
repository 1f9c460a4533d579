"""Slides of a DICOMweb archive: the pixels of the files, frames that stay on the disk, faults told once."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from dicomweb_server import archive_of
from slide_makers import smooth_image

from dicom_slides import write_slide
from napari_pathogan import addresses
from napari_pathogan.errors import SlideFormatError, SlideReadError
from napari_pathogan.slides.backends import blocks, remote, state_at
from napari_pathogan.slides.geometry import Region
from napari_pathogan.slides.slide import Slide

IMAGE = smooth_image(300, 460)
WHOLE = Region(0, 0, 300, 460)
FAULTS = [[503], ["cut"], [500, "cut", 502], [429, 408], ["slow"]]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """A cache of its own, and a network that is given up soon."""
    cache = blocks.BlockCache(tmp_path_factory.mktemp("cache") / "remote", 64 << 20)
    monkeypatch.setattr(blocks, "shared", lambda: cache)
    monkeypatch.setattr(remote, "WAITS", (0.0, 0.0, 0.0))
    monkeypatch.setattr(remote, "ANSWER", timedelta(seconds=1))
    return cache


@pytest.fixture
def folder(tmp_path):
    """A slide of two levels, its label, and another slide of the study."""
    write_slide(tmp_path / "a.dcm", IMAGE)
    write_slide(tmp_path / "b.dcm", IMAGE[::2, ::2], mpp=0.5)
    write_slide(
        tmp_path / "label.dcm", IMAGE[:64, :64], ImageType=["ORIGINAL", "PRIMARY", "LABEL", "NONE"]
    )
    write_slide(tmp_path / "other.dcm", 255 - IMAGE, series="1.2.9")
    return tmp_path


@pytest.fixture
def server(folder):
    with archive_of(folder) as one:
        yield one


def frames(server):
    return [path for path in server.asked if "/frames/" in path]


def test_it_is_the_slide_that_its_files_are(folder, server):
    with Slide.open(folder / "a.dcm") as here, Slide.open(server.address()) as there:
        assert there.mpp == pytest.approx(here.mpp)
        assert there.mpp_source == "DICOM pixel spacing"
        assert [level.shape for level in there.levels] == [(300, 460, 3), (150, 230, 3)]
        np.testing.assert_array_equal(there.read(WHOLE), IMAGE)
        np.testing.assert_array_equal(there.read(WHOLE), here.read(WHOLE))
        assert (there.name, there.metadata["compression"]) == ("1.2.3", "read over DICOMweb")
        assert there.damaged == []
    with Slide.open(server.address("1.2.9")) as other:
        np.testing.assert_array_equal(other.read(WHOLE), 255 - IMAGE)


def test_compressed_frames_are_taken_as_they_are(tmp_path):
    write_slide(tmp_path / "a.dcm", IMAGE, jpeg2000=True)
    with archive_of(tmp_path) as server, Slide.open(server.address()) as slide:
        np.testing.assert_array_equal(slide.read(WHOLE), IMAGE)


def test_only_frames_in_view_are_asked_for_and_none_twice(server):
    with Slide.open(server.address()) as slide:
        before = len(frames(server))
        slide.read(Region(0, 0, 60, 60))
        assert len(frames(server)) - before <= 1
    with Slide.open(server.address()) as slide:
        slide.read(WHOLE)
    asked = frames(server)
    assert len(asked) == len(set(asked)) <= 5 * 8 + 1
    with Slide.open(server.address()) as slide:
        np.testing.assert_array_equal(slide.read(WHOLE), IMAGE)
    assert frames(server) == asked  # the disk has them


@pytest.mark.parametrize("faults", FAULTS, ids=str)
@pytest.mark.parametrize("when", ["opening", "reading"])
def test_what_fails_once_is_asked_for_again(server, faults, when):
    if when == "opening":
        server.faults = list(faults)
    with Slide.open(server.address()) as slide:
        if when == "reading":
            server.faults = list(faults)
        np.testing.assert_array_equal(slide.read(WHOLE), IMAGE)
        assert slide.damaged == []
    assert server.faults == []


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (503, "it answers with error 503, 4 times over"),
        ("cut", "cut"),
        ("slow", "it does not answer in time"),
    ],
)
def test_what_fails_always_is_told_once(server, fault, why, monkeypatch):
    monkeypatch.setattr(remote, "ANSWER", timedelta(seconds=0.3))
    with Slide.open(server.address()) as slide:
        server.always = fault
        with pytest.raises(SlideReadError, match=why):
            slide.read(WHOLE)
        asked = len(server.asked)
        with pytest.raises(SlideReadError, match="does not give"):
            slide.read(WHOLE)
        assert len(server.asked) == asked, "for a while it is not asked again"
        server.always = None
        monkeypatch.setattr(remote, "PAUSE", 0.0)
        np.testing.assert_array_equal(slide.read(WHOLE), IMAGE)


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        (403, SlideReadError, "without permission"),
        (404, SlideFormatError, "there is no series 1.2.3"),
        (400, SlideReadError, "answers error 400"),
        (500, SlideReadError, "it answers with error 500"),
    ],
)
def test_opening_is_refused_in_a_sentence(server, fault, error, said):
    server.always = fault
    with pytest.raises(error, match=said) as raised:
        Slide.open(server.address())
    assert "Quackenbush" not in str(raised.value)


def test_a_series_that_is_not_there(server):
    with pytest.raises(SlideFormatError, match=r"the series 1\.2\.77 .* can't be read as a slide"):
        Slide.open(server.address("1.2.77"))


def test_nobody_listens(server):
    address = server.address()
    server.shutdown()
    server.server_close()
    with pytest.raises(SlideReadError, match="it can't be reached, 4 times over"):
        Slide.open(address)


def test_a_password_opens_it_and_is_told_to_nobody(server):
    server.login = "reader:s3cret"
    with pytest.raises(SlideReadError, match="without permission"):
        Slide.open(server.address())
    with Slide.open(server.address(login="reader:s3cret@")) as slide:
        np.testing.assert_array_equal(slide.read(WHOLE), IMAGE)
        assert "s3cret" not in f"{slide} {slide.path} {slide.metadata}"
        server.always = 503
        addresses_shown = addresses.shown(slide.path)
    assert "s3cret" not in addresses_shown


def test_its_state_is_that_of_its_images(folder, server, tmp_path):
    before = state_at(addresses.place_of(server.address()))
    assert state_at(addresses.place_of(server.address())) == before
    server.held.popitem()
    name = next(name for name, one in server.held.items() if one.TotalPixelMatrixColumns == 230)
    del server.held[name]
    assert state_at(addresses.place_of(server.address())) != before

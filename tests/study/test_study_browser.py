"""Readers elsewhere: the folder for a browser, a session in a real Chromium, the file handed back."""

from __future__ import annotations

import json
import shutil
import sys
import unicodedata

import pytest
from browsing import CHROMIUM, Browser
from study_makers import answer, made, small
from typer.testing import CliRunner

from answers_elsewhere import handed_back
from napari_pathogan.cli.app import app
from napari_pathogan.engine.events import Finished
from napari_pathogan.errors import OutputError, StudyError
from napari_pathogan.study.blocks import CONTROL
from napari_pathogan.study.browser import write_folder
from napari_pathogan.study.chain import read_chain, seal
from napari_pathogan.study.layout import key_path, read_key, reader_code
from napari_pathogan.study.merge import merge_file
from napari_pathogan.study.record import Session, Study, stem_of
from napari_pathogan.study.report import report, tampering

chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")


def written(study, folder):
    *_, finished = write_folder(study, folder)
    assert isinstance(finished, Finished)
    return finished.result


# --- the folder


def test_the_folder_holds_the_images_and_nothing_that_tells(study, tmp_path):
    page = written(study, tmp_path / "page")
    files = {path for path in page.parent.rglob("*") if path.is_file()}
    images = {page.parent / "images" / f"{name}.js" for name in study.manifest.images}
    assert files == {page} | images
    assert len({path.stat().st_size for path in images}) == 1
    assert len({path.stat().st_mtime for path in files}) == 1
    key = read_key(study.folder, None, study.manifest)
    text = page.read_text("utf-8")
    secrets = {key.salt, study.manifest.key_sha256}
    hidden = [truth for truth in key.truth.values() if truth.source != CONTROL]
    secrets |= {word for truth in hidden for word in (truth.origin, truth.source)}
    assert not [word for word in secrets if word in text]
    assert '"real": true' not in text
    assert "http" not in text.replace("http-equiv", "")


def test_only_an_earlier_folder_of_this_kind_is_replaced(study, pairs, tmp_path):
    page = written(study, tmp_path / "page")
    written(pairs, tmp_path / "page")
    assert len(list((page.parent / "images").iterdir())) == len(pairs.manifest.images)
    (page.parent / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"holds notes\.txt, which would be lost"):
        written(study, tmp_path / "page")
    with pytest.raises(OutputError, match="the study's own folder"):
        written(study, study.folder / "page")


def test_a_changed_image_is_not_handed_on(study, tmp_path):
    path = next((study.folder / "images").iterdir())
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(StudyError, match="was changed or swapped"):
        written(study, tmp_path / "page")
    assert not (tmp_path / "page").exists()


def test_a_name_of_a_study_is_text_on_the_page(sources, tmp_path):
    evil = '</script><script>alert(1)</script> & "co"'
    study = made(small(sources, name=evil), tmp_path / "study")
    text = written(study, tmp_path / "page").read_text("utf-8")
    assert "<script>alert" not in text


# --- what is handed back


def test_a_file_is_taken_once_and_goes_on(study, tmp_path):
    first = handed_back(study, tmp_path / "answers (1).jsonl")
    assert merge_file(study, first).copied == (f"{stem_of('anna')}.0123abcd.jsonl",)
    assert len(merge_file(study, first).kept) == 1
    later = handed_back(study, tmp_path / "b.jsonl", answers=3, before=first.read_bytes())
    assert len(merge_file(study, later).extended) == 1
    assert len(merge_file(study, first).kept) == 1
    (record,) = study.records()
    assert len(record.answers) == 9
    assert record.problem is None
    assert tampering(study) == ()
    with Session.open(study, "anna") as session:  # here the reader goes on where they stopped there
        assert session.answered == 9


def test_what_is_cut_from_the_study_later_is_noticed(study, tmp_path):
    merge_file(study, handed_back(study, tmp_path / "a.jsonl"))
    (path,) = (study.folder / "readers").glob("*.jsonl")
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-2]))
    assert "2 lines were removed at the end" in tampering(study)[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: x[:-1], "was cut off: ask Anna"),
        (lambda x: [*x[:-1], x[-1][:-9]], "was cut off: ask Anna"),
        (lambda x: [*x[:3], x[3].replace(b'"real"', b'"generated"'), *x[4:]], "line 4 was changed"),
        (lambda x: [*x[:3], *x[4:]], "lines were removed, added or moved"),
        (lambda x: [b"{}\n", *x], "line 1 is not what was written"),
        (lambda x: [], "is no file that a reader handed back"),
        (lambda x: [b"PK\x03\x04\n"], "line 1 is not what was written"),
    ],
)
def test_files_that_were_tampered_with_are_refused(study, tmp_path, change, said):
    path = handed_back(study, tmp_path / "a.jsonl")
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))
    with pytest.raises(StudyError, match=said):
        merge_file(study, path)
    assert study.records() == ()


def test_a_file_of_another_study_or_of_napari_is_refused(study, pairs, tmp_path):
    with pytest.raises(StudyError, match="it belongs to another study"):
        merge_file(study, handed_back(pairs, tmp_path / "a.jsonl"))
    with Session.open(pairs, "Anna") as session:
        answer(session, 2)
    with pytest.raises(StudyError, match="is no file that a reader handed back"):
        merge_file(pairs, session.path)


@pytest.mark.parametrize("computer", ["../../x", "0123ABCD", "", 7, None])
def test_a_computer_that_no_browser_names_is_refused(study, tmp_path, computer):
    with pytest.raises(StudyError, match="is no file that a reader handed back"):
        merge_file(study, handed_back(study, tmp_path / "a.jsonl", computer=computer))
    assert list(tmp_path.rglob("*x*.jsonl")) == []


def test_answers_that_no_session_gives_are_refused(study, tmp_path):
    path = handed_back(study, tmp_path / "a.jsonl", answers=2)
    lines = path.read_bytes().splitlines(keepends=True)[:2]
    entry = {
        "what": "answer",
        "trial": "nowhere.1",
        "images": ["x"],
        "at": "2026-03-01T09:30:12+00:00",
    }
    head = json.loads(lines[-1])["hash"]
    for last in (entry, {"what": "handed back", "at": entry["at"]}):
        line, head = seal(last, len(lines), head)
        lines.append(line)
    path.write_bytes(b"".join(lines))
    with pytest.raises(StudyError, match="answers an image that this reader was not shown"):
        merge_file(study, path)


def test_one_reader_from_two_browsers_is_said(study, tmp_path):
    files = [
        handed_back(study, tmp_path / f"{number}.jsonl", computer=f"{number}123abcd")
        for number in range(2)
    ]
    out = CliRunner().invoke(app, ["study", "merge", str(study.folder), *map(str, files)]).output
    assert "1 records copied" in out
    assert "Anna has answered on 2 computers" in out


# --- in Chromium


@pytest.fixture
def browsers(tmp_path):
    """Makes browsers of one profile; all are ended afterwards."""
    opened = []

    def make():
        opened.append(Browser(tmp_path / "browser"))
        return opened[-1]

    yield make
    for one in opened:
        one.kill()


@pytest.fixture
def page(study, tmp_path):
    return written(study, tmp_path / "page")


READING = "page() === 'trial' && watch.running && !busy"


def begin(browser, page, name="Anna"):
    browser.open(page)
    browser.wait("shelf")
    browser.click("#reader")
    browser.type(name)
    browser.click("#begin")
    browser.click("#agree")
    browser.click("#agreed")
    browser.wait("page() === 'rest' && !busy")


def read(browser, times, key=("g", "KeyG")):
    """Answer as a reader does, by keys; breaks are gone on from."""
    for _ in range(times):
        browser.wait(f"({READING}) || (page() === 'rest' && !busy)")
        if browser.run("page() === 'rest'"):
            browser.key("Enter", "Enter")
            browser.wait(READING)
        done = browser.run("book.answered.size")
        browser.key(*key)
        browser.key("4", "Digit4")
        browser.key("Enter", "Enter")
        browser.wait(f"book.answered.size === {done + 1} && !busy")


def saved(browser):
    """The file that was saved last."""
    browser.wait(
        "page() === 'rest' && document.getElementById('text').innerText.includes('were saved as')"
    )
    name = browser.run("book.fileName")
    path = browser.downloads / name
    browser.wait("true")
    for _ in range(6000):
        if path.exists() and path.stat().st_size:
            return path
        browser.run("new Promise((done) => setTimeout(done, 20))")
    raise AssertionError(list(browser.downloads.iterdir()))


@chromium
def test_a_study_is_read_killed_in_the_middle_gone_on_with_and_handed_back(  # noqa: PLR0915 - one story
    browsers, page, study, tmp_path
):
    browser = browsers()
    begin(browser, page)
    read(browser, 9)
    shown = browser.run("trials.slice(0, 9).map((one) => one.id)")
    assert shown == [one.id for one in study.order("Anna")[:9]]
    browser.kill()
    browser = browsers()
    browser.open(page)
    browser.wait("shelf")
    browser.click("#reader")
    browser.type("  ANNA ")  # the same reader, typed otherwise
    browser.wait("document.getElementById('begin').innerText === 'Go on at image 8 of 26'")
    browser.click("#begin")
    browser.click("#agree")
    browser.click("#agreed")
    browser.wait(
        "page() === 'rest' && document.getElementById('title').innerText === 'Welcome back, Anna'"
    )
    read(browser, 3)
    browser.wait(READING)
    browser.mouse("mouseWheel", 300, 300, deltaX=0, deltaY=-120)
    read(browser, 1)
    browser.wait(READING)
    browser.key("Escape", "Escape")
    browser.wait("page() === 'rest'")
    assert not browser.run("stage.images.length")
    browser.click("#save")
    early = saved(browser)
    assert len(merge_file(study, early).copied) == 1
    browser.click("#leave")
    browser.click("#begin")
    browser.click("#agree")
    browser.click("#agreed")
    browser.wait("page() === 'rest' && !busy")
    early.unlink()
    read(browser, 15)
    browser.wait(
        "page() === 'rest' && document.getElementById('title').innerText === 'Thank you, all is done'"
    )
    browser.key("Enter", "Enter")
    file = saved(browser)
    assert browser.errors() == []
    asked = {url.partition(":")[0] for url in browser.requested()}
    assert asked == {"file", "blob"}
    receipt = browser.run("document.querySelector('#text b').innerText")
    merged = CliRunner().invoke(app, ["study", "merge", str(study.folder), str(file)])
    assert "1 went on there" in merged.output
    (record,) = study.records()
    assert record.problem is None
    assert tampering(study) == ()
    assert [x.trial for x in record.answers] == [one.id for one in study.order("Anna")]
    assert {(x.choice, x.confidence) for x in record.answers} == {("generated", 4)}
    assert all(x.time_s > 0 for x in record.answers)
    assert [len(x.zooms) > 1 for x in record.answers] == [i == 12 for i in range(28)]
    found = report(study, rounds=50)
    assert found.readers["Anna"].counts["n_images"] == 20
    assert found.receipts[0].receipt == receipt


@chromium
def test_killed_while_it_writes_the_record_is_whole(browsers, page, study):
    browser = browsers()
    begin(browser, page)
    browser.run(
        """(async () => {
          window.written = 0;
          for (const one of trials) {
            await book.write({ what: "answer", trial: one.id, images: one.images, choice: "real",
              confidence: 3, time_s: 1, zooms: [], at: now() });
            window.written++;
          }
        })(), 0"""
    )
    browser.wait("written >= 5")
    least = browser.run("written")
    browser.kill()
    browser = browsers()
    browser.open(page)
    browser.wait("shelf")
    lines = browser.run("shelf.record('anna').then((book) => book.lines)")
    path = page.parent / "record.jsonl"
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    chain = read_chain(path, study.start)
    assert chain.problem is None
    assert len(chain.entries) >= 1 + least
    assert browser.run("shelf.record('anna').then((book) => book.row.count)") == len(lines)


@chromium
def test_readers_and_orders_are_those_of_napari(browsers, page, pairs, tmp_path):
    browser = browsers()
    browser.open(page)
    assigned = [
        c
        for c in map(chr, range(sys.maxunicode + 1))
        if unicodedata.category(c) not in ("Cs", "Cn", "Co")
    ]
    names = [f"{c}1 {c}" for c in assigned]
    names += [
        "Dr. X",
        "J.P. O\u2019Hara",
        "Stra\u00dfe",
        "STRASSE",
        "1 1",
        "11",
        "1.11",
        "  ",
        "a" * 81,
        "\u039f\u0394\u039f\u03a3",
    ]
    found = []
    for at in range(0, len(names), 20_000):
        found += browser.run(f"{json.dumps(names[at : at + 20_000])}.map(readerCode)")
    wrong = [
        (ascii(name), ascii(code), ascii(own))
        for name, code in zip(names, found, strict=True)
        if (own := _code(name)) != code
    ]
    assert wrong == []
    for study, there in (
        (Study.open(page.parents[1] / "study"), page),
        (pairs, written(pairs, tmp_path / "pairs-page")),
    ):
        browser.open(there)
        for name in ("anna", "dr x", "m\u00fcller", "\u674e", "1 1"):
            theirs = browser.run(f"order(readerCode({json.dumps(name)}))")
            ours = [
                {
                    "id": x.id,
                    "images": list(x.images),
                    "block": x.block,
                    "kind": "practice" if x.item.kind == "practice" else "study",
                }
                for x in study.order(name)
            ]
            assert theirs == ours


def _code(name):
    try:
        return reader_code(name)
    except StudyError:
        return None


@chromium
def test_pairs_are_read_left_or_right(browsers, pairs, tmp_path):
    browser = browsers()
    begin(browser, written(pairs, tmp_path / "page"))
    read(browser, 16, ("ArrowRight", "ArrowRight"))
    browser.wait("page() === 'rest'")
    browser.click("#save")
    merge_file(pairs, saved(browser))
    (record,) = pairs.records()
    assert {x.choice for x in record.answers} == {"right"}
    assert len(record.answers) == 16
    assert record.problem is None


@chromium
def test_keys_count_by_what_they_type_else_by_their_place(browsers, page):
    browser = browsers()
    begin(browser, page)
    browser.key("Enter", "Enter")
    browser.wait(READING)
    for key, code, said in [
        ("\u0433", "KeyG", "generated"),  # Cyrillic
        ("r", "KeyO", "real"),  # another layout
        ("G", "KeyG", "generated"),
        ("t", "KeyR", "generated"),  # types another letter: nothing
        ("\u00ae", "KeyR", "real"),
        ("\u00fc", "KeyG", "real"),  # Turkish F: G is printed elsewhere
        (",", "KeyG", "real"),  # B\u00e9po
        ("Process", "KeyG", "generated"),  # while Japanese is put together
        ("\uff52", "", "real"),  # full width
        ("Dead", "KeyG", "generated"),
    ]:
        browser.key(key, code)
        assert browser.run("choice") == said
    for key, code, said in [
        ("\u00e9", "Digit2", 2),
        ("5", "Digit5", 5),
        ("End", "Numpad1", 1),
        ("\u0663", "", 3),
        ("\u00b2", "Backquote", 3),
        ("\uff14", "", 4),
        ("7", "Digit2", 4),
        ("\u011a", "Digit2", 2),
    ]:
        browser.key(key, code)
        assert browser.run("sure") == said
    browser.key("r", "KeyR", modifiers=2)  # Ctrl+R is the browser's
    assert browser.run("choice") == "generated"


@chromium
def test_an_answer_that_cant_be_kept_is_tried_again_and_none_is_given_twice(browsers, page):
    browser = browsers()
    begin(browser, page)
    browser.run(
        "kept = shelf.append; shelf.append = () => Promise.reject(new Error('disk full')); 0"
    )
    browser.key("Enter", "Enter")
    browser.wait(READING)
    for keys in (("r", "KeyR"), ("2", "Digit2"), ("Enter", "Enter")):
        browser.key(*keys)
    browser.wait("document.getElementById('failed').innerText.includes('disk full')")
    assert browser.run("book.answered.size") == 0
    browser.run("shelf.append = kept; 0")
    first = browser.run("trial.id")
    browser.key("Enter", "Enter")
    browser.key("Enter", "Enter")
    browser.wait(f"book.answered.size === 1 && {READING}")
    assert browser.run("trial.id") != first
    refused = browser.run(
        "shelf.record('anna').then((other) => other.write({ what: 'answer', at: now() })"
        ".then(() => book.write({ what: 'answer', at: now() }))).catch((error) => error.message)"
    )
    assert "goes on in another window" in refused


@chromium
@pytest.mark.parametrize("wrong", ["changed", "missing"])
def test_an_image_that_is_not_as_it_was_is_not_shown(browsers, page, study, wrong):
    (first,) = study.order("Anna")[0].images
    path = page.parent / "images" / f"{first}.js"
    if wrong == "missing":
        path.unlink()
    else:
        other = next(name for name in study.manifest.images if name != first)
        text = (path.parent / f"{other}.js").read_text()
        path.write_text(text.replace(other, first))
    browser = browsers()
    begin(browser, page)
    browser.key("Enter", "Enter")
    browser.wait(
        f"document.getElementById('trouble').innerText.includes('an image {'is missing' if wrong == 'missing' else 'was changed'}')"
    )
    assert not browser.run("stage.images.length")


@chromium
def test_pixels_are_shown_as_they_are(browsers, page, study):
    browser = browsers()
    begin(browser, page)
    browser.key("Enter", "Enter")
    browser.wait(READING)
    view = browser.run("stage.view")
    assert view["zoom"] == int(view["zoom"])
    (name,) = study.order("Anna")[0].images
    image = study.image(name)
    seen = browser.run(
        """(() => {
          const pen = stage.canvas.getContext("2d"), { zoom, y, x } = stage.view, found = [];
          for (const row of [0, 7, 15]) for (const column of [0, 7, 15]) {
            const at = [(column - x) * zoom + stage.width / 2, (row - y) * zoom + stage.height / 2];
            found.push([...pen.getImageData(...at.map(Math.floor), 1, 1).data.slice(0, 3)]);
          }
          return found;
        })()"""
    )
    assert seen == [image[row, column].tolist() for row in (0, 7, 15) for column in (0, 7, 15)]


def test_the_key_is_not_needed_for_the_folder(study, tmp_path):
    shutil.move(key_path(study.folder), tmp_path / "elsewhere.json")
    assert written(study, tmp_path / "page").exists()

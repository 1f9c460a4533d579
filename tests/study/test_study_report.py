"""What is reported: simulated readers whose truth is known, merging, tampering, the page."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats
from study_makers import copied, made, simulate

from napari_pathogan.errors import StudyError
from napari_pathogan.study import record as records
from napari_pathogan.study.html import render
from napari_pathogan.study.judgements import judge
from napari_pathogan.study.layout import key_path, read_key
from napari_pathogan.study.merge import merge
from napari_pathogan.study.record import Session, Study
from napari_pathogan.study.report import report, tampering
from napari_pathogan.study.resampling import pooled_figures

READERS = {"guesser": (0.0, 0.0), "good": (2.0, 0.0), "biased": (1.0, 0.7)}  # d', criterion
SEEDS = {"guesser": 2, "good": 0, "biased": 1}


@pytest.fixture(scope="module")
def played(sources, tmp_path_factory) -> Study:
    """50 + 50 images and three readers."""
    study = made(sources, tmp_path_factory.mktemp("played") / "study")
    for name, (d_prime, criterion) in READERS.items():
        simulate(study, name, d_prime, criterion, SEEDS[name])
    return study


@pytest.fixture(scope="module")
def found(played):
    return report(played)


@pytest.fixture(scope="module")
def page(found) -> str:
    return render(found)


# --- figures


def test_it_finds_what_readers_can_do(found):
    assert list(found.readers) == ["biased", "good", "guesser"]
    for name, (d_prime, criterion) in READERS.items():
        metrics = found.readers[name].metrics
        assert metrics["d_prime"].low < d_prime < metrics["d_prime"].high
        assert metrics["criterion"].low < criterion < metrics["criterion"].high
        area = float(stats.norm.cdf(d_prime / np.sqrt(2)))
        assert metrics["auc"].low < area < metrics["auc"].high
    good, guesser = found.readers["good"].metrics, found.readers["guesser"].metrics
    assert good["binomial_p"].value < 1e-6
    assert guesser["binomial_p"].value > 0.05
    assert guesser["d_prime"].high < good["d_prime"].low
    assert found.readers["biased"].metrics["criterion"].low > 0


def test_it_finds_what_readers_of_pairs_can_do(sources, tmp_path):
    study = made({**sources, "mode": "pairs"}, tmp_path / "study")
    for name, (d_prime, criterion) in READERS.items():
        simulate(study, name, d_prime, criterion, SEEDS[name])
    found = report(study, rounds=50)
    for name, (d_prime, criterion) in READERS.items():
        metrics = found.readers[name].metrics
        assert metrics["d_prime"].low < d_prime < metrics["d_prime"].high
        assert metrics["criterion"].low < criterion < metrics["criterion"].high
        assert {"right_if_left", "right_if_right"} < set(metrics)
        assert "sensitivity" not in metrics
    assert found.readers["good"].metrics["accuracy"].value > 0.8
    assert found.convincing()[0].truth.source == "fake, IDC"


def test_counts_are_those_of_the_study(found):
    for own in found.readers.values():
        assert own.counts["n_images"] == 100
        assert own.counts["n_repeats"] == 10
        assert (own.counts["n_controls"], own.counts["n_controls_failed"]) == (2, 0)
        assert (own.counts["n_missing"], own.counts["n_zoomed"]) == (0, 0)
    assert found.pooled.counts["n_answers"] == 300
    right = sum(own.counts["n_right"] for own in found.readers.values())
    assert found.pooled.metrics["accuracy"].value == pytest.approx(right / 300)
    assert (
        sum(x.right for x in found.sources if x.real)
        + sum(x.right for x in found.sources if not x.real)
        == right
    )
    assert [x.answers for x in found.sources] == [150, 150]


def test_figures_by_hand(found, played):
    key = read_key(played.folder, None, played.manifest)
    (record,) = (x for x in played.records() if x.reader == "good")
    items = {x.id: x for x in played.manifest.items}
    table = {(truth, said): 0 for truth in (True, False) for said in ("real", "generated")}
    for answer in record.answers:
        item, _, time = answer.trial.partition(".")
        if items[item].kind == "study" and time == "1":
            table[key.truth[answer.images[0]].real, answer.choice] += 1
    metrics = found.readers["good"].metrics
    assert metrics["sensitivity"].value == table[False, "generated"] / 50
    assert metrics["specificity"].value == table[True, "real"] / 50
    (reader,) = (x for x in found.judged if x.name == "good")
    assert reader.confusion == (
        (table[False, "generated"], table[False, "real"]),
        (table[True, "generated"], table[True, "real"]),
    )


def test_intervals_over_readers_are_wider_than_over_answers(found):
    metrics = found.pooled.metrics
    alone, over = metrics["accuracy_wilson"], metrics["accuracy"]
    assert over.low < alone.low
    assert over.high > alone.high
    assert any("3 readers" in note for note in found.pooled.notes)
    assert any("other readers and images" in note for note in found.pooled.notes)
    assert "Other readers, with other images, would be right in" in found.elsewhere.reason


def test_the_bootstrap_starts_from_the_plain_figures(found):
    for pairs in (False, True):
        figures = pooled_figures(found.judged, pairs=pairs, rounds=20)
        for name in ("accuracy", "auc"):
            own = [found.readers[x.name].metrics[name].value for x in found.judged]
            assert figures[name][0] == pytest.approx(np.mean(own))
            assert figures[name][1].shape == (20,)
        root = np.sqrt(2) if pairs else 1
        own = [found.readers[x.name].metrics["d_prime"].value / root for x in found.judged]
        assert figures["d_prime"][0] == pytest.approx(np.mean(own))


def test_one_reader_of_pairs_with_an_evil_name(pairs):
    simulate(pairs, "<script>alert(1)</script>", 1, 0, 0)
    found = report(pairs, rounds=100)
    assert "fleiss_kappa" not in found.pooled.metrics
    assert any(note.startswith("one reader") for note in found.pooled.notes)
    page = render(found)
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "said left" in page


def judge_images(study, reader, times):
    """Answer until so many images that count are judged."""
    kinds = {item.id: item.kind for item in study.manifest.items}
    with Session.open(study, reader) as session:
        while times:
            item, _, time = session.trial.id.partition(".")
            times -= kinds[item] == "study" and time == "1"
            session.answer("real", 5, 1)


def test_a_reader_who_has_not_finished(study):
    judge_images(study, "Anna", 16)
    found = report(study, rounds=50)
    assert found.readers["Anna"].counts["n_images"] == 16
    missing = found.readers["Anna"].counts["n_missing"]
    assert any(f"not finished: {missing} answers" in note for note in found.readers["Anna"].notes)
    assert found.not_counted == ()


def test_readers_with_few_answers_are_listed_and_count_in_no_figure(study):
    """One answer that was right is no share of 100 %."""
    simulate(study, "Anna", 0, 0, 3)
    alone = report(study, rounds=50).to_dict()
    judge_images(study, "Bert", 1)
    with Session.open(study, "Carl") as session:
        session.answer("real", 5, 1)  # practice only
    judge_images(study, "Dora", 4)  # half of 10 would be 5 of either kind
    found = report(study, rounds=50)
    assert list(found.readers) == ["Anna"]
    assert [str(one) for one in found.not_counted] == [
        "Bert: too few answers to count (1 of the 20 images that count)",
        "Carl: too few answers to count (0 of the 20 images that count)",
        "Dora: too few answers to count (4 of the 20 images that count)",
    ]
    both = found.to_dict()
    for name in ("pooled", "sources", "convincing", "doubted", "readers"):
        assert both[name] == alone[name], name
    page = re.sub(r"\s+", " ", re.sub(r'data:[^"]*', "", render(found)))  # pictures may spell it
    assert "Too few answers to count" in page
    assert "Bert (1 of 20), Carl (0 of 20), Dora (4 of 20)" in page
    assert len(re.findall(r"\bBert\b", page)) == 2  # there, and beside the receipt
    assert "Bert: too few answers" in found.tables()[0].caption


def test_nobody_has_answered_enough(study):
    judge_images(study, "Bert", 1)
    with pytest.raises(
        StudyError, match=r"no answers to report of Noise: Bert: too few .*1 of the 20"
    ):
        report(study)


@pytest.mark.parametrize(
    ("least", "judged", "counted"), [(0, 1, True), (3, 12, True), (10, 4, False), (10, 20, True)]
)
def test_the_minimum_is_fixed_with_the_study(sources, tmp_path, least, judged, counted):
    small = {"n_real": 10, "n_generated": 10, "session": {"block": 10, "repeats": 0}}
    settings = {**sources, **small, "analysis": {"min_answers": least}}
    study = made(settings, tmp_path / "study")
    simulate(study, "Anna", 1, 0, 0)
    judge_images(study, "Bert", judged)
    assert ("Bert" in report(study, rounds=50).readers) is counted


def test_pairs_count_from_half_of_them(pairs):
    simulate(pairs, "Anna", 1, 0, 0)
    with Session.open(pairs, "Bert") as session:
        for _ in range(5):  # 2 of practice
            session.answer("left", 5, 1)
    assert [one.reader for one in report(pairs, rounds=50).not_counted] == ["Bert"]


def test_nobody_has_answered(study):
    with pytest.raises(StudyError, match="no answers to report of Noise yet"):
        report(study)


def test_failed_attention_checks_are_said(study):
    with Session.open(study, "Anna") as session:
        while session.trial is not None:
            session.answer("real", 1, 0.2)
    own = report(study, rounds=50).readers["Anna"]
    assert own.counts["n_controls_failed"] == 1
    assert any("1 of 2 attention checks failed" in note for note in own.notes)
    assert own.metrics["repeat_agreement"].value == 1
    assert own.metrics["repeat_kappa"].value is None
    assert (own.metrics["sensitivity"].value, own.metrics["specificity"].value) == (0, 1)


def test_unlike_numbers_are_said(sources, tmp_path):
    study = made({**sources, "n_real": 20, "n_generated": 5}, tmp_path / "study")
    with Session.open(study, "Anna") as session:
        while session.trial is not None:
            session.answer("real", 3, 1)
    own = report(study, rounds=50).readers["Anna"]
    assert own.metrics["accuracy"].value == 0.8  # and yet a mere guess
    assert own.metrics["fisher_p"].value == 1
    assert any("read fisher_p instead" in note for note in own.notes)


def test_json_and_tables(found):
    plain = json.loads(found.to_json())
    assert plain["intact"] is True
    assert plain["pooled"]["n_answers"] == 300
    assert plain["readers"]["good"]["verdict"]["outcome"] == "better"
    assert plain["pooled"]["verdict"]["text"].startswith("Real and generated images could be told")
    assert (plain["min_answers"], plain["not_counted"]) == (10, [])
    assert set(plain["readers"]) == set(READERS)
    assert (
        plain["readers"]["good"]["d_prime"]["low"] < 2 < plain["readers"]["good"]["d_prime"]["high"]
    )
    assert len(plain["receipts"]) == 3
    assert [table.title for table in found.tables()] == ["All readers", "biased", "good", "guesser"]


def test_galleries_show_what_fooled_most(found):
    fakes, real = found.convincing(), found.doubted()
    assert len(fakes) == len(real) == 8
    assert all(not x.truth.real and x.fooled for x in fakes)
    assert all(x.truth.real and x.fooled for x in real)
    assert [x.realness for x in fakes] == sorted((x.realness for x in fakes), reverse=True)
    assert [x.realness for x in real] == sorted(x.realness for x in real)


# --- several machines


def elsewhere(monkeypatch, name: str) -> None:
    monkeypatch.setattr(records, "machine", lambda: name)


def test_copies_answered_elsewhere_merge(templates, tmp_path, monkeypatch):
    here = copied(templates["yes-no"], tmp_path / "here")
    there = copied(templates["yes-no"], tmp_path / "there")
    elsewhere(monkeypatch, "aaaa")
    simulate(here, "Anna", 1, 0, 0)
    elsewhere(monkeypatch, "bbbb")
    simulate(there, "Bert", 1, 0, 1)
    with Session.open(there, "Carl") as session:
        session.answer("real", 3, 1)
    done = merge(here, there)
    assert (len(done.copied), len(done.extended), len(done.kept)) == (2, 0, 0)
    assert here.readers() == ("Anna", "Bert", "Carl")
    assert tampering(here) == ()
    with Session.open(there, "Carl") as session:  # goes on there, and is fetched again
        session.answer("real", 3, 1)
    done = merge(here, there)
    assert (len(done.copied), len(done.extended), len(done.kept)) == (0, 1, 1)
    done = merge(here, there)
    assert (len(done.copied), len(done.extended), len(done.kept)) == (0, 0, 2)
    assert tampering(here) == ()
    with Session.open(here, "Carl") as session:  # and goes on here
        assert session.answered == 2
    assert set(report(here, rounds=50).readers) == {"Anna", "Bert"}


def test_a_reader_on_two_machines_goes_on_after_merging(templates, tmp_path, monkeypatch):
    here = copied(templates["yes-no"], tmp_path / "here")
    elsewhere(monkeypatch, "aaaa")
    with Session.open(here, "Anna") as session:
        for _ in range(10):
            session.answer("real", 3, 1)
    there = copied(here.folder, tmp_path / "there")
    elsewhere(monkeypatch, "bbbb")
    with Session.open(there, "Anna") as session:
        assert session.answered == 10
        while session.trial is not None:
            session.answer("real", 3, 1)
    merge(here, there)
    key = read_key(here.folder, None, here.manifest)
    (anna,), notes = judge(here, key)
    assert anna.missing == 0
    assert notes == ()


def test_an_image_answered_in_two_copies_counts_once(templates, tmp_path, monkeypatch):
    copies = [copied(templates["yes-no"], tmp_path / name) for name in ("first", "second")]
    for copy, machine, choice in zip(copies, ("aaaa", "bbbb"), ("real", "generated"), strict=True):
        elsewhere(monkeypatch, machine)
        with Session.open(copy, "Anna") as session:
            while session.trial is not None:
                session.answer(choice, 3, 1)
    merge(copies[1], copies[0])
    found = report(copies[1], rounds=50)
    assert any("Anna answered 28 images in two copies" in note for note in found.pooled.notes)
    assert found.readers["Anna"].metrics["specificity"].value == 1  # the earlier answers: real
    assert found.readers["Anna"].counts["n_images"] == 20


def test_copies_that_parted_on_one_machine_are_both_kept(templates, tmp_path):
    here = copied(templates["yes-no"], tmp_path / "here")
    with Session.open(here, "Anna") as session:
        session.answer("real", 3, 1)
    there = copied(here.folder, tmp_path / "there")
    for copy in (here, there):
        with Session.open(copy, "Anna") as session:
            session.answer("generated", 5, 2)
    assert len(merge(here, there).copied) == 1
    assert len(merge(here, there).kept) == 1
    assert len(here.records()) == 2
    assert tampering(here) == ()
    with Session.open(here, "Anna") as session:
        assert session.answered == 2


def test_other_studies_and_tampered_copies_are_not_merged(templates, tmp_path):
    here = copied(templates["yes-no"], tmp_path / "here")
    other = copied(templates["pairs"], tmp_path / "other")
    with pytest.raises(StudyError, match="is not a copy of"):
        merge(here, other)
    there = copied(templates["yes-no"], tmp_path / "there")
    with Session.open(there, "Anna") as session:
        session.answer("real", 3, 1)
    text = session.path.read_text("utf-8")
    session.path.write_text(text.replace('"real"', '"generated"'), "utf-8")
    with pytest.raises(StudyError, match=r"line 2 was changed .*nothing was copied"):
        merge(here, there)
    assert here.records() == ()


# --- the page


def test_tampering_stands_on_the_page(played, tmp_path):
    study = copied(played.folder, tmp_path / "study")
    (path,) = (study.folder / "readers").glob("good*.jsonl")
    kept = path.read_text("utf-8").splitlines(keepends=True)
    path.write_text("".join([*kept[:50], *kept[51:]]), "utf-8")
    found = report(study, rounds=50)
    assert not found.intact
    assert found.readers["good"].counts["n_missing"] > 60  # what follows the gap is left out
    page = render(found)
    assert "Not as it was written" in page
    assert "record of good was tampered with" in page
    assert "Untouched" not in page


def test_the_page_needs_nothing_else(page):
    links = re.findall(r'(?:src|href)="([^"]{0,40})|url\(([^)]*)', page)
    assert len(links) == 5 + 16  # figures and galleries
    assert all(link.startswith("data:image/") for link, _ in links)
    assert "<script" not in page
    for name in READERS:
        assert name in page


CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
LOOK = """<script>addEventListener("load", () => {
  const loaded = [...document.images].filter(x => x.complete && x.naturalWidth > 0).length;
  const cut = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  document.title = `${loaded} of ${document.images.length} images, ${cut} px cut`;
})</script></body>"""


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
@pytest.mark.parametrize("width", [1200, 500])
def test_the_page_in_chromium(page, tmp_path, width):
    file = tmp_path / "page.html"
    file.write_text(page.replace("</body>", LOOK), "utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--window-size={width},900"]
    options += ["--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={tmp_path / 'profile'}"]
    done = subprocess.run(
        [CHROMIUM, *options, "--dump-dom", file.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "<title>21 of 21 images, 0 px cut</title>" in done.stdout, (
        done.stdout[:500] + done.stderr
    )


def test_no_torch_for_a_study():
    code = "import sys, napari_pathogan.study.html, napari_pathogan.study.design; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "False", done.stderr


def test_the_key_is_needed(played, tmp_path):
    study = copied(played.folder, tmp_path / "study")
    moved = key_path(study.folder).rename(tmp_path / "elsewhere.json")
    with pytest.raises(StudyError, match=r"say where the answer key is \(--key\)"):
        report(study)
    assert report(study, moved, rounds=50).pooled.counts["n_answers"] == 300

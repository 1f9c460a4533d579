"""Matching, figures, k-means and the report: against known values and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from kinds import NAMES
from safetensors.torch import save_file
from sklearn.metrics import (
    adjusted_rand_score,
    balanced_accuracy_score,
    f1_score,
    normalized_mutual_info_score,
    precision_score,
    recall_score,
)
from torchvision.models import resnet18

from napari_pathogan.errors import DataFolderError, ModelError
from napari_pathogan.tasks.nuclei_classes import kmeans
from napari_pathogan.tasks.nuclei_classes.evaluate import evaluate, labelled, matched, values
from napari_pathogan.tasks.nuclei_classes.kmeans import ResNetFeatures
from napari_pathogan.tasks.nuclei_classes.matching import contingency, hungarian
from napari_pathogan.tasks.nuclei_classes.metrics import figures, tally


def test_permuted_labels_are_matched_back():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, 200)
    order = np.array([2, 0, 3, 1])
    found = np.where(rng.random(200) < 0.2, rng.integers(0, 4, 200), order[truth])
    classes = hungarian(contingency(found, truth, (4, 4)))
    assert np.array_equal(classes[order], np.arange(4))


def test_one_class_is_not_given_to_two_clusters():
    assert hungarian(np.array([[10, 1], [9, 2]])).tolist() == [0, 1]


def test_clusters_left_over_take_what_most_of_them_are():
    table = np.array([[50, 0], [0, 30], [2, 9], [0, 0]])
    assert hungarian(table).tolist() == [0, 1, 1, -1]


def test_figures_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    truth, called = rng.integers(0, 3, 300), rng.integers(0, 3, 300)
    called[:200] = truth[:200]
    table = tally(truth, called, np.zeros(300, int), (1, 3, 3))
    got = {name: float(value[0]) for name, value in figures(table, NAMES).items()}
    for kind, score in (
        ("f1", f1_score),
        ("precision", precision_score),
        ("sensitivity", recall_score),
    ):
        wanted = score(truth, called, average=None)
        assert [got[f"{kind}_{name}"] for name in NAMES] == pytest.approx(wanted)
    assert got["accuracy"] == pytest.approx((truth == called).mean())
    assert got["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(truth, called))
    assert got["ari"] == pytest.approx(adjusted_rand_score(truth, called))
    assert got["nmi"] == pytest.approx(normalized_mutual_info_score(truth, called))


def test_a_class_without_nuclei_has_no_figures():
    table = np.array([[[3, 0, 0], [0, 2, 0], [0, 0, 0]]])
    got = values(table[None], NAMES, rounds=0)
    assert got["sensitivity_fibroblast"].value is None
    assert got["accuracy"].value == 1


def test_kmeans_finds_blobs():
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], 40)
    found = kmeans.cluster(rng.normal(0, 0.1, (120, 5)) + 3 * truth[:, None], 3)
    assert adjusted_rand_score(truth, found) == 1
    crops = np.repeat(np.array([30, 130, 230], np.uint8), 40)[:, None, None, None]
    crops = np.broadcast_to(crops, (120, 40, 40, 3)) + rng.integers(0, 20, (120, 40, 40, 3)).astype(
        np.uint8
    )
    assert adjusted_rand_score(truth, kmeans.cluster(kmeans.pixels(crops), 3)) == 1


def test_a_resnet_takes_weights_from_a_file(tmp_path):
    crops = np.random.default_rng(0).integers(0, 255, (3, 40, 40, 3), np.uint8)
    torch.manual_seed(7)
    other = resnet18(weights=None)
    save_file(other.state_dict(), tmp_path / "own.safetensors")
    own, random = ResNetFeatures("resnet18", tmp_path / "own.safetensors"), ResNetFeatures()
    assert own.about == "resnet18, weights of own.safetensors"
    assert random.about == "resnet18, random weights"
    assert own(crops).shape == (3, 512)
    assert not np.allclose(own(crops), random(crops))
    assert np.allclose(random(crops), ResNetFeatures()(crops))  # the seed decides
    other.fc = torch.nn.Identity()
    x = torch.from_numpy(crops).permute(0, 3, 1, 2) / 255
    mean, spread = torch.tensor((0.485, 0.456, 0.406)), torch.tensor((0.229, 0.224, 0.225))
    x = (x - mean[:, None, None]) / spread[:, None, None]
    assert np.allclose(own(crops), other.eval()(x).detach().numpy(), atol=1e-4)


def test_wrong_weights_of_a_resnet(tmp_path):
    file = tmp_path / "x.pth"
    file.write_bytes(b"pickle")
    with pytest.raises(ModelError, match="is no safetensors file"):
        ResNetFeatures("resnet18", file)
    save_file({"a": torch.zeros(1)}, file)
    with pytest.raises(ModelError, match="does not hold the weights of a resnet18"):
        ResNetFeatures("resnet18", file)
    with pytest.raises(ModelError, match="'vgg' is none of resnet18"):
        ResNetFeatures("vgg")


class Oracle:
    """Stands in for a model: it knows the made-up kinds by their brightness."""

    def __init__(self, model, names=NAMES):
        self.card, self.names, self.crop_px = model.card, names, 40

    def probability(self, crops, stain=None):
        around = crops[:, 5:12, 5:12].mean((1, 2, 3))
        kind = np.digitize(around, [170, 212])
        order = np.array([0, 2, 1])[
            kind
        ]  # dark: epithelial; middle: fibroblast; pale: inflammatory
        return np.eye(3, dtype=np.float32)[order] * 0.8 + 0.2 / 3


def test_a_model_is_taken_by_its_names(nuclei, raw_model):
    report = evaluate(nuclei, Oracle(raw_model), seeds=2, rounds=20)
    truth = labelled(nuclei, NAMES).classes
    right = Oracle(raw_model).probability(nuclei.crops).argmax(1) == truth
    found = report.to_dict()
    assert found["accuracy"]["value"] == pytest.approx(right.mean())
    assert found["accuracy"]["low"] <= found["accuracy"]["value"] <= found["accuracy"]["high"]
    assert found["accuracy_matched"]["value"] == pytest.approx(right.mean())
    assert found["confidence"]["value"] == pytest.approx(0.8 + 0.2 / 3, abs=1e-5)
    assert found["ece"]["value"] == pytest.approx(abs(right.mean() - 0.8 - 0.2 / 3), abs=1e-5)
    assert {"f1_epithelial", "precision_fibroblast", "sensitivity_inflammatory", "nmi"} <= set(
        found
    )
    assert {"kmeans_pixels_accuracy", "kmeans_pixels_f1_epithelial"} <= set(found)
    confusion = sum(v for k, v in found.items() if k.startswith("confusion_"))
    assert confusion == found["n_nuclei"] == 180
    assert found["n_images"] == 6
    assert any("model's own names" in note for note in report.notes)


def test_unnamed_clusters_are_matched_on_the_other_half(nuclei, raw_model):
    report = evaluate(nuclei, Oracle(raw_model, ("a", "b", "c")), seeds=1, rounds=0)
    assert report.metrics["accuracy"].value > 0.9
    assert "accuracy_matched" not in report.metrics
    assert any("matched to the labels on half" in note for note in report.notes)


def test_classes_that_the_model_does_not_know_are_left_out(nuclei, raw_model):
    some = nuclei.take(np.arange(90))
    classes = some.classes.copy().astype("U20")
    classes[:5], classes[5] = "mitosis", ""
    part = type(some)(**{**vars(some), "classes": classes})
    report = evaluate(part, Oracle(raw_model), seeds=1, rounds=0)
    assert report.counts["n_nuclei"] == 84
    assert "left out: 1 without a class, 5 mitosis" in report.notes


def test_one_image_gets_no_intervals(nuclei, raw_model):
    report = evaluate(nuclei.of(["im1"]), Oracle(raw_model), seeds=1)
    assert report.metrics["accuracy"].low is None
    assert report.metrics["kmeans_pixels_accuracy"].value is not None
    assert any(note.startswith("one image") for note in report.notes)


def test_nuclei_without_classes_can_not_be_scored(nuclei, raw_model):
    part = type(nuclei)(**{**vars(nuclei), "classes": np.full(len(nuclei), "")})
    with pytest.raises(
        DataFolderError, match=r"no nucleus of the classes .*the classes here: none"
    ):
        evaluate(part, Oracle(raw_model))


def test_a_cluster_that_was_never_matched_counts_as_wrong(nuclei):
    known = labelled(nuclei, NAMES)
    lonely = np.where(known.image == 0, 3, known.classes)[None]
    counts = matched(lonely, known, 4)
    assert counts.sum() == len(nuclei)
    assert values(counts, NAMES, 0)["accuracy"].value < 1

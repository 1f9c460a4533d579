"""The detector: what it is built of, how it learns, and what it makes of a mammogram."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models.detection import maskrcnn_resnet50_fpn
from torchvision.ops import clip_boxes_to_image

from napari_pathogan.engine.devices import Device, choose_device
from napari_pathogan.engine.events import Checkpoint, Finished, Metrics
from napari_pathogan.engine.runs import RunFolder
from napari_pathogan.errors import ModelError
from napari_pathogan.tasks.masses.augment import Augment, crop
from napari_pathogan.tasks.masses.config import RECIPES, arguments
from napari_pathogan.tasks.masses.examples import Example
from napari_pathogan.tasks.masses.frame import Frame
from napari_pathogan.tasks.masses.model import Views, calibrated, looked
from napari_pathogan.tasks.masses.network import (
    BUILDERS,
    SlimResNet,
    inputs,
    resnet50_fpn,
    slim,
    upper,
)
from napari_pathogan.tasks.masses.procedural import pictures
from napari_pathogan.tasks.masses.train import Trainer, built, train
from run_logs import logged

TINY = replace(RECIPES["quick"], width=8, long_side=96, crop=(64, 64), epochs=2, batch=2, steps=2)
STILL = Augment(rotate=0, scale=1, flip=0)


def examples():
    """Two breasts with a mass, one without, and one that was made."""
    y, x = np.mgrid[:80, :60]
    breast = np.where(((y - 40) / 38) ** 2 + (x / 50) ** 2 < 1, 0.4, 0)
    mass = (y - 35) ** 2 + (x - 20) ** 2 < 81
    image = torch.from_numpy((breast + 0.4 * mass).astype(np.float32))
    masks = torch.from_numpy(mass[None])
    healthy = Example(torch.from_numpy(breast.astype(np.float32)), masks[:0])
    return [
        Example(image, masks), Example(image.flip(0), masks.flip(1)), healthy,
        Example(image, masks, synthetic=True),
    ]  # fmt: skip


def test_features_are_at_strides_4_to_32():
    network = SlimResNet(4).eval()
    x = torch.rand(1, 1, 64, 96)

    shapes = []
    for name, layer in network.named_children():
        x = layer(x)
        shapes.append((name, tuple(x.shape[1:])))

    assert shapes == [
        ("stem", (4, 16, 24)), ("layer1", (4, 16, 24)), ("layer2", (8, 8, 12)),
        ("layer3", (16, 4, 6)), ("layer4", (32, 2, 3)),
    ]  # fmt: skip


def test_anchors_are_as_large_as_masses():
    """From 20 px of a long side of 1024 on; the largest covers the 95th percentile, 230 px."""
    sizes = slim(2, 9.0).rpn.anchor_generator.sizes
    flat = [side * 1024 / 384 for level in sizes for side in level]
    assert min(flat) == pytest.approx(24)
    assert max(flat) > 230


DEEP = replace(TINY, detector="maskrcnn-pretrained")


def test_a_pretrained_trunk_gives_maps_at_strides_8_to_32():
    network = built(DEEP)
    body = network.backbone.body.eval()
    maps = body(torch.rand(1, 3, 64, 96))
    assert [tuple(one.shape[1:]) for one in maps.values()] == [
        (40, 8, 12), (112, 4, 6), (320, 2, 3),
    ]  # fmt: skip
    sizes = [side * 1024 / 96 for level in network.rpn.anchor_generator.sizes for side in level]
    assert min(sizes) == pytest.approx(24)
    assert max(sizes) > 230
    assert network.transform.image_mean == [0.5, 0.5, 0.5]


@pytest.mark.parametrize("detector", ["maskrcnn-pretrained", "maskrcnn-resnet50-fpn"])
def test_the_papers_steps_free_the_trunk_from_above(detector):
    config = replace(DEEP, detector=detector, heads_epochs=1, upper_epochs=1)
    trainer = Trainer(examples(), config, choose_device("cpu", "float32"))
    body = trainer.network.backbone.body
    last = upper(trainer.network)
    learning = []
    for epoch in range(3):
        trainer._learn_from(epoch)
        learning.append([weight for weight in body.parameters() if weight.requires_grad])
    deep = [m.weight for m in body.modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
    every = [one for one in body.parameters() if all(one is not kernel for kernel in deep)]
    assert learning[0] == []
    assert len(learning[1]) == len(last) < len(every)
    assert all(weight in last for weight in learning[1])
    assert len(learning[2]) == len(every)
    assert every[0] not in last
    assert all(weight in last for weight in every[-3:])


@pytest.mark.parametrize("detector", ["maskrcnn-slim", "maskrcnn-pretrained"])
def test_upper_weights_are_those_behind_a_stride_of_8(detector):
    """What is seen at a stride of 8 and finer does not change with them."""
    network = built(replace(DEEP, detector=detector)).eval()
    body, last = network.backbone.body, upper(network)
    image = torch.rand(1, len(network.transform.image_mean), 64, 64)

    with torch.no_grad():
        before = body(image)
        for weight in last:
            weight.add_(0.1)
        after = body(image)

    finest = next(iter(before))
    torch.testing.assert_close(before[finest], after[finest])
    assert not any(torch.equal(before[name], after[name]) for name in list(before)[1:])


def test_a_trunk_learns_at_its_own_rate():
    trainer = Trainer(examples(), replace(DEEP, trunk_lr=0.25), choose_device("cpu", "float32"))
    heads, trunk = trainer.optimisers["network"].param_groups
    assert (heads["lr"], trunk["lr"]) == (DEEP.lr, DEEP.lr / 4)
    body = {id(weight) for weight in trainer.network.backbone.body.parameters()}
    assert {id(weight) for weight in trunk["params"]} == body
    every = {id(weight) for weight in trainer.network.parameters()}
    assert {id(weight) for weight in heads["params"]} == every - body


def test_a_pretrained_detector_learns_on_and_comes_back(tmp_path):
    run = RunFolder(tmp_path)
    run.start(DEEP.to_json())
    start = built(DEEP).state_dict()
    *_, finished = train(examples(), DEEP, run, device="cpu")
    network = finished.result
    learnt = network.state_dict()
    moved = {name for name, value in learnt.items() if not torch.equal(value, start[name])}
    assert "backbone.body.trunk.conv_stem.weight" in moved
    assert not [name for name in moved if "running_" in name and "trunk" in name]
    again = BUILDERS[DEEP.detector](**arguments(DEEP))
    again.load_state_dict(learnt)
    image = [torch.rand(3, 64, 64)]
    with torch.inference_mode():
        one, other = network(image)[0], again.eval()(image)[0]
    torch.testing.assert_close(one["scores"], other["scores"])
    assert sum(value.numel() for value in learnt.values()) * 2 < 25e6  # bytes in float16


@pytest.mark.parametrize(
    ("detector", "unread"),
    [
        ("maskrcnn-slim", {"weights", "backbone"}),
        ("maskrcnn-pretrained", {"weights", "width"}),
        ("maskrcnn-resnet50-fpn", {"width", "backbone"}),
    ],
)
def test_what_a_detector_does_not_read_is_named(detector, unread):
    config = replace(TINY, detector=detector, arm="blending")
    assert set(config.ignored()) == unread


def test_coco_weights_come_from_a_local_file(tmp_path):
    torch.manual_seed(0)
    coco = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=91)
    weights = {k: v.half() if v.is_floating_point() else v for k, v in coco.state_dict().items()}
    save_file(weights, tmp_path / "coco.safetensors")

    network = resnet50_fpn(tmp_path / "coco.safetensors").state_dict()

    name = "backbone.body.layer3.2.conv2.weight"
    torch.testing.assert_close(network[name], weights[name].float())
    assert len(network["roi_heads.box_predictor.cls_score.weight"]) == 2
    save_file({name: weights[name]}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match=r"is not MaskRCNN_ResNet50_FPN_Weights.COCO_V1"):
        resnet50_fpn(tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match="weights_only=True"):
        resnet50_fpn(tmp_path / "absent.safetensors")


def test_a_crop_shows_what_is_around_its_middle():
    image = torch.rand(50, 40)
    masks = torch.zeros(2, 50, 40)
    masks[0, 20:26, 10:18] = 1
    masks[1, 0:6, 30:40] = 1

    seen, shown = crop(image, masks, (22.0, 16.0), (20, 20), STILL)

    torch.testing.assert_close(seen[0], image[12:32, 6:26], atol=1e-5, rtol=0)
    assert len(shown) == 1  # the other mass is outside
    torch.testing.assert_close(shown[0].float(), masks[0, 12:32, 6:26])


def test_masks_move_with_the_image():
    y, x = np.mgrid[:80, :60]
    blob = torch.from_numpy(((y - 30) ** 2 + 2 * (x - 25) ** 2 < 150).astype(np.float32))
    strong = Augment(rotate=180, scale=1.5, shear=0.2, flip=0.5)

    for seed in range(5):
        torch.manual_seed(seed)
        seen, shown = crop(blob, blob[None], (30.0, 25.0), (64, 64), strong)
        assert shown.sum() > 40
        assert ((seen[0] > 0.5) == shown[0]).all()


def test_half_a_mass_is_not_one():
    masks = torch.zeros(1, 40, 40)
    masks[0, 10:20, 10:20] = 1
    seen = [
        len(crop(masks[0], masks, (15.0, x), (20, 20), STILL)[1]) for x in (15.0, 22.0, 26.0, 29.0)
    ]
    assert seen == [1, 1, 0, 0]


def test_batches_hold_masses_and_synthetic_ones_in_their_shares():
    config = replace(TINY, steps=50, batch=4, with_mass=0.8, synthetic_share=0.5)
    trainer = Trainer(examples(), config, choose_device("cpu"))

    drawn = trainer.batches().flatten().bincount(minlength=4).tolist()

    assert drawn == [40, 40, 40, 80]
    alone = Trainer(examples()[:2], config, choose_device("cpu"))
    assert alone.batches().flatten().bincount().tolist() == [100, 100]
    made = Trainer(examples()[2:], config, choose_device("cpu"))  # no real mass among them
    assert made.batches().flatten().bincount().tolist() == [40, 160]


def test_the_papers_steps_free_the_backbone_from_above():
    trainer = Trainer(
        examples(), replace(TINY, heads_epochs=1, upper_epochs=1), choose_device("cpu")
    )
    body = trainer.network.backbone.body

    free = []
    for epoch in range(3):
        trainer._learn_from(epoch)
        free.append([name for name, part in body.named_children()
                     if all(w.requires_grad for w in part.parameters())])  # fmt: skip

    assert free == [[], ["layer3", "layer4"], ["stem", "layer1", "layer2", "layer3", "layer4"]]


@pytest.mark.learning
def test_a_stopped_training_ends_as_one_that_was_not(tmp_path):
    whole, stopped = RunFolder(tmp_path / "a"), RunFolder(tmp_path / "b")
    for run in (whole, stopped):
        run.start(TINY.to_json())
    *_, finished = train(examples(), TINY, whole, device="cpu")
    for event in train(examples(), TINY, stopped, device="cpu"):
        if isinstance(event, Checkpoint):
            break  # as if killed after the first epoch
    events = list(train(examples(), TINY, stopped, device="cpu"))

    assert isinstance(events[-1], Finished)
    assert [e.step for e in events if isinstance(e, Metrics)] == [2]
    resumed = events[-1].result.state_dict()
    for name, weight in finished.result.state_dict().items():
        torch.testing.assert_close(resumed[name], weight, atol=0, rtol=0)
    assert {"classifier", "box_reg", "mask", "objectness", "rpn_box_reg", "lr", "step"} == set(
        logged(whole)[0]
    )


def test_upside_down_it_finds_the_same():
    """With two views, what is found in a breast and in the breast upside down is the same."""
    torch.manual_seed(1)
    network, device = slim(2).eval(), choose_device("cpu")
    pixels = examples()[0].image[:64, :32].numpy()  # of no padding, which would be at the bottom
    frames = [Frame(p, (0, 0, 64, 32), mirrored=False) for p in (pixels, pixels[::-1].copy())]

    upright, turned = (looked(network, frame, device, Views(2, (1.0,))) for frame in frames)

    assert len(upright.scores) > 0
    np.testing.assert_allclose(upright.scores, turned.scores, rtol=1e-4)
    back = (turned.boxes * [1, -1, 1, -1] + [0, 64, 0, 64])[:, [0, 3, 2, 1]]
    both = [boxes[np.lexsort(boxes.round(1).T)] for boxes in (upright.boxes, back)]  # of one score
    np.testing.assert_allclose(*both, atol=1e-2)
    assert len(upright.contours) == len(upright.boxes)
    assert (np.diff(upright.scores) <= 0).all()


def test_what_several_scales_show_is_laid_on_one():
    """A stand-in finds the bright square at two scales of three; joined it is where it is."""

    def finds(images):
        (image,) = images
        if image.shape[1] > 96:
            return [
                {
                    "boxes": torch.zeros(0, 4),
                    "scores": torch.zeros(0),
                    "masks": torch.zeros(0, 1, 28, 28),
                }
            ]
        rows, columns = (torch.nonzero(image[0].amax(axis) > 0.5).flatten() for axis in (1, 0))
        ends = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        boxes = torch.tensor([[float(end) for end in ends]])
        return [{"boxes": boxes, "scores": torch.tensor([0.8]), "masks": torch.ones(1, 1, 28, 28)}]

    network = slim(8)
    network.forward = finds
    pixels = np.zeros((96, 80), np.float32)
    pixels[30:54, 20:40] = 1
    frame = Frame(pixels, (0, 0, 96, 80), mirrored=False)

    found = looked(network, frame, choose_device("cpu"), Views(2, (0.75, 1.0, 1.25)))

    np.testing.assert_allclose(found.boxes, [[20, 30, 40, 54]], atol=1)
    np.testing.assert_allclose(found.scores, [0.8 * 2 / 3], rtol=1e-5)
    (contour,) = found.contours
    np.testing.assert_allclose([contour.min(0), contour.max(0)], [[30, 20], [54, 40]], atol=1)


def test_nothing_is_found_where_nothing_is():
    network = slim(8)
    nothing = {
        "boxes": torch.zeros(0, 4),
        "scores": torch.zeros(0),
        "masks": torch.zeros(0, 1, 28, 28),
    }
    network.forward = lambda images: [nothing]
    frame = Frame(np.zeros((64, 40), np.float32), (0, 0, 64, 40), mirrored=False)

    found = looked(network, frame, choose_device("cpu"), Views())

    assert [len(part) for part in found] == [0, 0, 0]
    assert found.boxes.shape == (0, 4)


def test_what_is_found_in_the_padding_alone_is_nothing():
    """The detector sees whole strides; a narrow breast is padded with air."""

    def finds(images):
        (image,) = images
        assert image.shape == (1, 64, 64)
        boxes = torch.tensor([[5.0, 5, 15, 15], [41, 5, 60, 15], [30, 20, 50, 30]])
        masks = torch.zeros(3, 1, 28, 28)
        masks[0] = 1
        return [{"boxes": boxes, "scores": torch.tensor([0.5, 0.9, 0.7]), "masks": masks}]

    network = slim(8)
    network.forward = finds
    frame = Frame(np.zeros((64, 40), np.float32), (0, 0, 64, 40), mirrored=False)

    found = looked(network, frame, choose_device("cpu"), Views(1, (1.0,)))

    np.testing.assert_allclose(found.boxes, [[30, 20, 40, 30], [5, 5, 15, 15]])
    np.testing.assert_allclose(found.scores, [0.7, 0.5])
    np.testing.assert_allclose(found.contours[0].min(0), [20, 30])  # the box, where no mask is
    np.testing.assert_allclose(found.contours[1].min(0), [5, 5], atol=0.5)
    np.testing.assert_allclose(found.contours[1].max(0), [15, 15], atol=0.5)


def test_calibration_keeps_the_order():
    scores = np.array([1.0, 0.9, 0.5, 0.1, 0.0])
    chances = calibrated(scores, (0.5, -1.0))
    assert (np.diff(chances) < 0).all()
    assert chances[2] == pytest.approx(1 / (1 + np.e))


@pytest.mark.parametrize("build", [lambda: slim(8), resnet50_fpn])
def test_images_are_seen_at_their_own_scale_in_training_and_after(build):
    """Torchvision enlarges what it predicts on to 800 px: a mass would be of another size."""
    network = build()
    for training in (True, False):
        network.train(training)
        targets = [{"boxes": torch.zeros(0, 4), "masks": torch.zeros(0, 64, 40)}]
        seen, _ = network.transform(inputs(network, torch.rand(1, 1, 64, 40)), targets)
        assert seen.image_sizes == [(64, 40)]
        assert seen.tensors.shape[2:] == (64, 64)  # padded to the stride


def test_boxes_are_as_exact_in_bfloat16():
    """bfloat16 itself knows every fourth pixel beyond 512: a network that moves no anchor."""
    torch.manual_seed(0)
    network = slim(8).eval()
    for head in (network.rpn.head, network.roi_heads.box_predictor):
        torch.nn.init.zeros_(head.bbox_pred.weight)
        torch.nn.init.zeros_(head.bbox_pred.bias)
    network.roi_heads.box_predictor.cls_score.bias.data[:] = torch.tensor([0.0, 5.0])
    image = torch.rand(1, 1, 64, 1024)
    anchors = {tuple(box.round(decimals=2).tolist()) for box in _anchors(network, image)}

    with Device("cpu", torch.bfloat16).autocast, torch.inference_mode():
        (found,) = network(inputs(network, image))

    assert len(found["boxes"]) > 9
    assert found["scores"].dtype == torch.float32
    assert {tuple(box.round(decimals=2).tolist()) for box in found["boxes"]} <= anchors


def _anchors(network, image):
    """All anchors (N, 4) in an image, cut at its border."""
    images, _ = network.transform(inputs(network, image))
    maps = list(network.backbone(images.tensors).values())
    (boxes,) = network.rpn.anchor_generator(images, maps)
    return clip_boxes_to_image(boxes, image.shape[2:])


def test_grey_images_fill_the_channels_of_a_colour_network():
    network = resnet50_fpn()
    (image,) = inputs(network, torch.rand(1, 1, 32, 32))
    assert image.shape == (3, 32, 32)


def test_procedural_pictures_hold_the_masses_they_say():
    drawn = pictures(12, (96, 64), 3, 192)
    again = pictures(12, (96, 64), 3, 192)

    assert {len(masks) for _, masks in drawn} >= {0, 1}
    for (image, masks), (same, _) in zip(drawn, again, strict=True):
        torch.testing.assert_close(image, same)
        assert image.shape == (96, 64)
        assert masks.shape[1:] == (96, 64)
        assert image.min() >= 0
        assert image.max() <= 1
        assert all(mask.any() for mask in masks)
    contrast = [
        float(image[mask].mean() - image[~mask & (image > 0)].mean())
        for image, masks in drawn
        for mask in masks
    ]
    assert np.mean(contrast) > 0.05

"""The mass detector: torchvision's Mask R-CNN, on the paper's ResNet-50, a slimmer or a pretrained trunk."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from torchvision.models import resnet50
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN, _resnet_fpn_extractor
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.rpn import RPNHead
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.models.resnet import BasicBlock
from torchvision.ops import FeaturePyramidNetwork, FrozenBatchNorm2d, MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from napari_pathogan.engine import backbones
from napari_pathogan.engine.backbones import create_network, noise
from napari_pathogan.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CLASSES = ("background", "mass")
_MEAN, _STD = 0.35, 0.25  # of a mammogram with its breast filling half of it
_RATIOS = (0.7, 1.0, 1.4)  # masses are about as wide as high
_COCO = "MaskRCNN_ResNet50_FPN_Weights.COCO_V1"
_MAPS = 3  # of a pretrained trunk: strides of 8, 16 and 32


class SlimResNet(nn.Sequential):
    """A ResNet-18 of ``width`` instead of 64 channels, for one grey channel.

    (N, 1, H, W) -> stages of width, 2, 4 and 8 times width channels at strides 4, 8, 16, 32.
    Its stem is two 3x3 convolutions: at half the resolution a mass has few pixels to lose.
    """

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.stem = nn.Sequential(_unit(1, width), _unit(width, width))
        inside = width
        for number, stride in enumerate((1, 2, 2, 2)):
            channels = width << number
            self.add_module(f"layer{number + 1}", _stage(inside, channels, stride))
            inside = channels


def _unit(inside: int, outside: int) -> nn.Sequential:
    convolution = nn.Conv2d(inside, outside, 3, 2, 1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outside), nn.ReLU(inplace=True))


def _stage(inside: int, outside: int, stride: int) -> nn.Sequential:
    shortcut = None
    if stride != 1 or inside != outside:
        convolution = nn.Conv2d(inside, outside, 1, stride, bias=False)
        shortcut = nn.Sequential(convolution, nn.BatchNorm2d(outside))
    return nn.Sequential(
        BasicBlock(inside, outside, stride, shortcut), BasicBlock(outside, outside)
    )


class _AtScale(GeneralizedRCNNTransform):  # type: ignore[misc]
    """Normalises and pads, but leaves images at the scale that masses are looked for at.

    (torchvision's own ``_skip_resize`` holds in training alone.) Masks stay as they are in their
    boxes, (N, 1, 28, 28): pasted into the image, those of all views took 300 MB.
    """

    def __init__(
        self, channels: int, mean: Sequence[float] = (), std: Sequence[float] = ()
    ) -> None:
        super().__init__(0, 0, list(mean) or [_MEAN] * channels, list(std) or [_STD] * channels)

    def resize(
        self, image: torch.Tensor, target: dict[str, torch.Tensor] | None = None
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor] | None]:
        return image, target

    def postprocess(
        self,
        result: list[dict[str, torch.Tensor]],
        image_shapes: list[tuple[int, int]],  # noqa: ARG002
        original_image_sizes: list[tuple[int, int]],  # noqa: ARG002
    ) -> list[dict[str, torch.Tensor]]:
        return result


def slim(width: int = 24, smallest: float = 9.0, fpn: int = 64, head: int = 256) -> MaskRCNN:
    """Mask R-CNN that starts from scratch and suits a CPU.

    Parameters
    ----------
    width
        Channels of the first stage of its :class:`SlimResNet`.
    smallest
        Side of the smallest anchor in pixels; the largest is 11 times as large.
    fpn
        Channels of the feature pyramid (strides 8, 16, 32) and of the mask branch.
    head
        Units of the two layers that classify a box.
    """
    layers = {f"layer{i}": str(i - 2) for i in (2, 3, 4)}
    backbone = BackboneWithFPN(SlimResNet(width), layers, [width << i for i in (1, 2, 3)], fpn)
    return _small(backbone, len(layers), smallest, fpn, head, _AtScale(1))


def _small(  # noqa: PLR0917
    backbone: nn.Module,
    maps: int,
    smallest: float,
    fpn: int,
    head: int,
    transform: GeneralizedRCNNTransform,
) -> MaskRCNN:
    """Mask R-CNN with heads that suit a CPU, on a pyramid of so many maps and a pooled one."""
    # the pool level that torchvision adds sees the largest masses
    sizes = tuple((smallest * 2**i, smallest * 2 ** (i + 0.5)) for i in range(maps + 1))
    anchors = AnchorGenerator(sizes, (_RATIOS,) * len(sizes))
    levels = [str(i) for i in range(maps)]
    network = MaskRCNN(
        backbone,
        rpn_anchor_generator=anchors,
        rpn_head=RPNHead(fpn, anchors.num_anchors_per_location()[0]),
        rpn_pre_nms_top_n_train=500,
        rpn_post_nms_top_n_train=200,
        rpn_pre_nms_top_n_test=300,
        rpn_post_nms_top_n_test=100,
        rpn_batch_size_per_image=128,
        # a sample a bin suffices: a mass has about as few features as bins
        box_roi_pool=MultiScaleRoIAlign(levels, 7, 1),
        box_head=TwoMLPHead(fpn * 49, head),
        box_predictor=FastRCNNPredictor(head, len(CLASSES)),
        box_batch_size_per_image=32,
        mask_roi_pool=MultiScaleRoIAlign(levels, 14, 1),
        mask_head=MaskRCNNHeads(fpn, (fpn, fpn), 1),
        mask_predictor=MaskRCNNPredictor(fpn, fpn, len(CLASSES)),
        **_FINDINGS,
    )
    network.transform = transform
    return _exact(network)


class PretrainedMaps(nn.Module):
    """Maps of a trunk of timm at its last three scales, the finest first (strides 8, 16, 32).

    Its batch norms keep the statistics that they came with, and its depthwise convolutions, which
    are few of its weights, their kernels: on a CPU their gradients take longer than all the rest.
    """

    def __init__(self, trunk: Any) -> None:  # noqa: ANN401 - timm has no types
        super().__init__()
        self.indices = trunk.prune_intermediate_layers(_MAPS, prune_head=True)
        self.trunk = trunk
        with torch.no_grad():
            self.channels = [
                one.shape[1] for one in self.eval()(torch.zeros(1, 3, 64, 64)).values()
            ]

    def train(self, mode: bool = True) -> Self:  # noqa: FBT001, FBT002 - torch's
        """As torch's, but the norms stay as they predict."""
        super().train(mode)
        self.trunk.eval()
        return self

    def learning(self) -> list[nn.Parameter]:
        """Weights that may learn: all but the kernels of depthwise convolutions."""
        parts = self.trunk.modules()
        fixed = {one.weight for one in parts if isinstance(one, nn.Conv2d) and one.groups > 1}
        return [weight for weight in self.trunk.parameters() if weight not in fixed]

    def upper(self) -> set[nn.Parameter]:
        """Of these the ones that the finest map does not depend on."""
        weights = self.learning()
        for one in weights:
            one.requires_grad_()
        image = torch.zeros(1, 3, 64, 64, device=weights[0].device)
        slopes = torch.autograd.grad(self(image)["0"].sum(), weights, allow_unused=True)
        return {one for one, slope in zip(weights, slopes, strict=True) if slope is None}

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """(N, 3, H, W) -> maps by number."""
        maps = self.trunk.forward_intermediates(x, indices=self.indices, intermediates_only=True)
        return OrderedDict((str(i), one) for i, one in enumerate(maps))


class _Pyramid(nn.Module):
    """A feature pyramid on maps, with a pooled one above; as torchvision's own for ResNets."""

    def __init__(self, body: PretrainedMaps, fpn: int) -> None:
        super().__init__()
        self.body, self.out_channels = body, fpn
        self.fpn = FeaturePyramidNetwork(body.channels, fpn, LastLevelMaxPool())

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        found: dict[str, torch.Tensor] = self.fpn(self.body(x))
        return found


def pretrained(
    architecture: str = "tf_efficientnet_lite0",
    smallest: float = 9.0,
    fpn: int = 64,
    head: int = 256,
    trunk: Any = None,  # noqa: ANN401
) -> MaskRCNN:
    """Mask R-CNN on a pretrained trunk, with a pyramid from a stride of 8 on.

    Parameters
    ----------
    architecture
        timm's name of the trunk.
    smallest, fpn, head
        As of :func:`slim`.
    trunk
        The network with its weights; one without by default, whose weights are loaded afterwards.

    Raises
    ------
    ModelError
        If timm has no such network.
    """
    trunk = create_network(architecture) if trunk is None else trunk
    setup = trunk.pretrained_cfg
    backbone = _Pyramid(PretrainedMaps(trunk), fpn)
    maps = len(backbone.body.channels)
    scale = _AtScale(3, setup["mean"], setup["std"])
    return _small(backbone, maps, smallest, fpn, head, scale)


def folded(network: MaskRCNN) -> MaskRCNN:
    """For prediction alone: the norms of a pretrained trunk are folded into its convolutions."""
    body = network.backbone.body
    if isinstance(body, PretrainedMaps):
        network.backbone.body = backbones.folded(body, lambda one: one(noise(1, 3, 64, 64))["2"])
    return network


def learning(network: MaskRCNN) -> list[nn.Parameter]:
    """Weights of a detector's trunk that may learn."""
    body = network.backbone.body
    return body.learning() if isinstance(body, PretrainedMaps) else list(body.parameters())


def upper(network: MaskRCNN) -> set[nn.Parameter]:
    """Those at its strides of 16 and 32 (of a ResNet, stages 4 and 5)."""
    body = network.backbone.body
    if isinstance(body, PretrainedMaps):
        return body.upper()
    return {weight for stage in list(body.children())[-2:] for weight in stage.parameters()}


_FINDINGS: dict[str, Any] = {
    "box_score_thresh": 0.01,  # the whole FROC curve is wanted, down to doubtful findings
    "box_nms_thresh": 0.3,
    "box_detections_per_img": 20,
}


def resnet50_fpn(weights: str | Path = "") -> MaskRCNN:
    """The paper's detector: Mask R-CNN, ResNet-50 FPN (section 3, from COCO weights).

    Parameters
    ----------
    weights
        A file of torchvision's ``MaskRCNN_ResNet50_FPN_Weights.COCO_V1`` as safetensors; what
        belongs to COCO's classes is left out. Without it the network starts at random.

    Raises
    ------
    ModelError
        If the file can't be read or holds another network.
    """
    # frozen statistics serve weights that were learnt; from scratch they would stay at (0, 1)
    norm: Callable[..., nn.Module] = FrozenBatchNorm2d if weights else nn.BatchNorm2d
    backbone = _resnet_fpn_extractor(resnet50(weights=None, norm_layer=norm), 5)
    network = MaskRCNN(
        backbone,
        len(CLASSES),
        **_FINDINGS,
    )
    network.transform = _AtScale(3)
    if weights:
        _begin(network, Path(weights))
    return _exact(network)


def _exact(network: MaskRCNN) -> MaskRCNN:
    """Let boxes and scores be float32, whatever autocast computes the features in.

    torchvision decodes boxes in the precision of what its heads say, and beyond 512 px bfloat16
    knows every fourth pixel only.
    """
    for head in (network.rpn.head, network.roi_heads.box_predictor):
        head.register_forward_hook(lambda _head, _inputs, said: tuple(map(_float32, said)))
    return network


def _float32(said: torch.Tensor | list[torch.Tensor]) -> torch.Tensor | list[torch.Tensor]:
    return [part.float() for part in said] if isinstance(said, list) else said.float()


def _begin(network: MaskRCNN, path: Path) -> None:
    """Load COCO weights, all but the layers that count classes."""
    try:
        loaded = load_file(path)
    except (OSError, SafetensorError) as error:
        msg = (
            f"{path} can't be read as safetensors ({error}); make it from torchvision's {_COCO}: "
            'python -c "import torch, safetensors.torch as s; '
            "s.save_file(torch.load('FILE.pth', weights_only=True), 'FILE.safetensors')\""
        )
        raise ModelError(msg) from error
    own = network.state_dict()
    fitting = {k: v for k, v in loaded.items() if k in own and own[k].shape == v.shape}
    missing = sorted(k for k in own.keys() - fitting.keys() if not _counts_classes(k))
    if missing:
        msg = f"{path} is not {_COCO}: {missing[0]} is missing or of another shape"
        raise ModelError(msg)
    network.load_state_dict(fitting, strict=False)


def _counts_classes(name: str) -> bool:
    return name.startswith(("roi_heads.box_predictor", "roi_heads.mask_predictor.mask_fcn_logits"))


BUILDERS: dict[str, Callable[..., MaskRCNN]] = {
    "maskrcnn-slim": slim,
    "maskrcnn-pretrained": pretrained,
    "maskrcnn-resnet50-fpn": resnet50_fpn,
}


def inputs(network: MaskRCNN, images: torch.Tensor) -> list[torch.Tensor]:
    """Images (N, 1, H, W) in [0, 1] as the network takes them: a list of (channels, H, W)."""
    return list(images.expand(-1, len(network.transform.image_mean), -1, -1))

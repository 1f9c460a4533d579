"""Classes of nuclei: found without labels by an InfoGAN (section 3.3), or taught by them."""

from pathlib import Path

from napari_pathogan.engine.task import EPOCHS, SEED, Evaluation, Option, Retraining, Task, Training

_FOLDER = "images/ with points/*.csv (x, y, class) or masks/, or slides with corrected nuclei."
_MPP = Option("mpp", float, None, "um per pixel of the images, where they don't say.", 0.01)
_RESNET = (
    Option("resnet", str, "resnet18", "resnet18 to resnet152, or none, for k-means."),
    Option(
        "resnet_weights",
        Path,
        None,
        "Safetensors file of the ResNet's weights; random weights without.",
    ),
)

TASK = Task(
    name="nuclei-classes",
    package=__name__,
    words="nuclei classes",
    help="Classes of nuclei, found without labels or taught by them.",
    title="Classes of nuclei",
    model=".model:ClassModel",
    default="nuclei-classes-crc",
    generator=".contract:drawn",
    training=Training(
        help="Find classes among nuclei with an InfoGAN, whose labels only name and score what "
        "was found; or teach a head on a pretrained trunk the labels.",
        folder=_FOLDER,
        read=".contract:read",
        recipes=".config:RECIPES",
        recipe="quick",
        about_recipes="Quick settings that find biology, or the paper's.",
        check=".contract:check",
        learn=".contract:learn",
        settings=(
            Option("labels", bool, None, "Learn from the labels."),
            Option("classes", int, None, "Classes to find: 3 (the default), 5, ...", 2, 8),
            Option("backbone", str, None, "For --labels: efficientnet-lite0, or another trunk."),
            EPOCHS,
            SEED,
        ),
        options=(
            Option("at", float, 0.55, "um per pixel that the model shall see.", 0.05),
            _MPP,
            Option(
                "seeds",
                int,
                0,
                "Seeds to try on held-out images, where there are labels.",
                0,
            ),
            *_RESNET,
            Option(
                "tissue",
                str,
                "",
                "The organ: with --seeds or --labels, the classes' names hold for it.",
            ),
        ),
    ),
    evaluation=Evaluation(
        help="Evaluate a class model on labelled nuclei, beside k-means on rings of density, on "
        "pixels and on a ResNet.",
        folders={"folder": _FOLDER},
        run=".contract:evaluated",
        options=(_MPP, *_RESNET),
    ),
    retraining=Retraining(
        suffix=".nuclei.geojson",
        classes={},
        read="napari_pathogan.tasks.nuclei.retrain:read",
        write="napari_pathogan.tasks.nuclei.retrain:write",
        count=".retrain:counted",
        learn=".retrain:retrain",
        base="nuclei-classes-crc-labels",
    ),
    gains={"right": "nuclei called right", "balanced": "the same, mean over classes"},
)

TASKS = (TASK,)

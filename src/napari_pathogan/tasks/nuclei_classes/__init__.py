"""Classes of nuclei found without labels: an InfoGAN over pictures of single nuclei (section 3.3)."""

from pathlib import Path

from napari_pathogan.engine.task import EPOCHS, SEED, Evaluation, Option, Task, Training

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
    help="Classes of nuclei, found without labels.",
    model=".model:ClassModel",
    default="nuclei-classes-crc",
    generator=".contract:drawn",
    training=Training(
        help="Find classes among nuclei with an InfoGAN; labels only name and score what was "
        "found.",
        folder=_FOLDER,
        read=".contract:read",
        recipes=".config:RECIPES",
        recipe="quick",
        about_recipes="Quick settings that find biology, or the paper's.",
        check=".crossval:check",
        learn=".contract:learn",
        settings=(
            Option("classes", int, None, "Classes to find: 3 (the default), 5, ...", 2, 8),
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
                "The organ: with --seeds, the classes' names hold for it.",
            ),
        ),
    ),
    evaluation=Evaluation(
        help="Evaluate a class model on labelled nuclei, beside k-means on pixels and on a ResNet.",
        folders={"folder": _FOLDER},
        run=".contract:evaluated",
        options=(_MPP, *_RESNET),
    ),
)

TASKS = (TASK,)

"""G2C: classes of images by their own stain and virtual ones beside it (paper 4)."""

from napari_pathogan.engine.task import (
    EPOCHS,
    REGION,
    SEED,
    SLIDE_MPP,
    Evaluation,
    Export,
    Option,
    Prediction,
    Task,
    Training,
)

_FOLDER = "Images (<patient>/<class>/*.png), or images and a CSV of image, label and patient."

TASK = Task(
    name="g2c",
    package=__name__,
    words="g2c",
    help="Classes of images, by virtual stains beside their own.",
    title="Classes by virtual stains (G2C)",
    model=".model:G2CModel",
    default="g2c-idc",
    training=Training(
        help="Train a classifier on images and what generators make of them, split by patient.",
        folder=_FOLDER,
        read=".data:read_folder",
        recipes=".config:RECIPES",
        about_recipes="The paper's joint training, or a head on frozen networks, for a CPU.",
        check=".crossval:check",
        learn=".crossval:learn",
        settings=(
            Option(
                "arm",
                str,
                None,
                "source alone, with one more stain by its name, with all (the default), or every "
                "one of these arms.",
            ),
            Option(
                "backend",
                str,
                None,
                "resnet (the paper's), alexnet (of its Table 5), or a pretrained trunk: "
                "efficientnet-lite0, hf-hub:NAME@REVISION, TIMM_NAME=FILE.safetensors.",
            ),
            EPOCHS,
            Option("side", int, None, "Images are resized to so many pixels.", 32, 256),
            Option("batch", int, None, "Images a step.", 1),
            SEED,
        ),
        options=(
            Option(
                "generators",
                "napari_pathogan.tasks.virtual_stain.g2c.generators:split",
                None,
                "Pairs of stains, by name or folder, after commas.",
                metavar="A,B,C",
            ),
            Option("stain", str, "", "Stain of the images: he, pas, masson, pasm or your own."),
            Option(
                "classes",
                "napari_pathogan.tasks.virtual_stain.g2c.data:groups",
                None,
                "Classes, and the labels they stand for; by default every label is a class.",
                metavar="noa,s=ss+gs",
            ),
            Option("folds", int, 0, "Patient folds to cross-validate; 0: none.", 0),
            Option(
                "patch_mpp", float, None, "um per pixel of the images, to look at slides.", 0.01
            ),
        ),
    ),
    evaluation=Evaluation(
        help="Evaluate a classifier on labelled images: the paper's Tables 2 to 5, with intervals.",
        folders={"folder": _FOLDER},
        run=".contract:evaluated",
        options=(
            Option("against", str, "", "Another arm's model, to compare with.", metavar="MODEL"),
            Option(
                "first",
                str,
                "",
                "Model of the level before: figures on what it had right, and through both.",
                metavar="MODEL",
            ),
        ),
    ),
    prediction=Prediction(
        help="Classify the patches of a slide's tissue, and tell which stain changed a decision.",
        open="napari_pathogan.slides.slide:Slide.open",
        run=".predict:predict",
        picture=".predict:picture",
        options=(SLIDE_MPP, REGION),
        exports=(
            Export(
                "output",
                "Table to write, a row a patch; a folder for several slides.",
                ".export:CSV",
                ".export:write_csv",
                ".g2c.csv",
                "Table of all patches (CSV)…",
            ),
        ),
    ),
)

TASKS = (TASK,)

"""Views of a slide in another laboratory's colours (paper 3, section 3.1)."""

from pathlib import Path

from napari_pathogan.engine.task import (
    EPOCHS,
    REGION,
    SEED,
    SLIDE_MPP,
    Evaluation,
    Export,
    Option,
    Prediction,
    Retraining,
    Task,
    Training,
)

TASK = Task(
    name="stain",
    package=__name__,
    words="stain",
    help="Slides in the colours of another laboratory.",
    title="Stain transfer",
    model=".model:StyleModel",
    default="stain-tnbc",
    model_word="style",
    training=Training(
        help="Learn a stain style from a pool of images.",
        folder="Images of one style; sub-folders are tissue classes, or patients with classes. Or a slide.",
        read=".data:read_pool",
        recipes=".config:RECIPES",
        check=".contract:check",
        learn=".learn:learn",
        settings=(
            Option("width", float, None, "Width multiplier.", 0.05),
            Option(
                "class_loss",
                float,
                None,
                "Weight of the class loss: 1/30 to 1/300; 0: without.",
            ),
            EPOCHS,
            SEED,
        ),
        options=(
            Option("mpp", float, None, "um per pixel of the images.", 0.01),
            REGION,
            Option(
                "holdout",
                float,
                0.25,
                "Share of the patients to measure on first.",
                0,
                0.5,
            ),
            Option(
                "from_pool",
                Path,
                None,
                "Images of another scanner, not paired: a map from their colours is fitted too.",
            ),
        ),
    ),
    evaluation=Evaluation(
        help="Compare all methods as the paper's table does, on images of SOURCE carried to a "
        "style.",
        folders={
            "source": "Images to carry over.",
            "target": "Images of the style, best of other patients.",
        },
        run=".contract:evaluated",
        options=(
            Option(
                "paired",
                bool,
                False,
                "SOURCE and TARGET hold the same tissue, registered; pairs are told by their names.",
            ),
        ),
    ),
    prediction=Prediction(
        verb="apply",
        help="Carry slides to a style, or to the colours of a reference image.",
        open="napari_pathogan.slides.slide:Slide.open",
        load=".contract:load",
        run=".contract:predicted",
        picture=".contract:picture",
        default="",
        options=(
            Option(
                "reference",
                Path,
                None,
                "An image in the wanted colours, in place of a style.",
            ),
            Option(
                "method",
                ("cnn", "lut", "macenko", "reinhard", "scanner"),
                None,
                "How; by default what measures closest on this slide.",
            ),
            Option(
                "keep_lightness",
                bool,
                False,
                "Network: lightness and colours as in the paper.",
            ),
            SLIDE_MPP,
        ),
        exports=(
            Export(
                "output",
                "OME-Zarr to write; a folder for several slides.",
                ".export:ZARR",
                ".contract:write_transferred",
                ".ome.zarr",
                "Slide in these colours (OME-Zarr)…",
                needed=True,
            ),
        ),
    ),
    retraining=Retraining(
        suffix=".stain.geojson",
        classes={},
        read=".retrain:read",
        write=".retrain:write",
        count=".retrain:counted",
        learn=".retrain:retrain",
    ),
    gains={"colour_error": "colours off by (Lab units)"},
)

TASKS = (TASK,)

"""Another stain of the same tissue, painted by a CycleGAN (paper 4)."""

from napari_pathogan.engine.task import (
    EPOCHS,
    SEED,
    SLIDE_MPP,
    Evaluation,
    Export,
    Option,
    Prediction,
    Task,
    Training,
)

TASK = Task(
    name="virtual-stain",
    package=__name__,
    words="virtual-stain",
    help="The same tissue in another stain: virtual, synthetic.",
    title="Virtual stains",
    model=".model:VirtualStainModel",
    default="virtual-pas-he",
    generator=".contract:drawn",
    training=Training(
        help="Train generators between two stains, both ways, on unpaired images.",
        folder="Images of the source stain; a name begins with its slide: SLIDE_1.png.",
        others={"target": "Images of the target stain."},
        read=".data:Pair.read",
        recipes=".config:RECIPES",
        begin=".start:going_on",
        check=".learn:check",
        learn=".learn:learn",
        settings=(EPOCHS, SEED),
        options=(
            Option(
                "source_stain", str, None, "Stain of the source: he, pas, masson, pasm, or another."
            ),
            Option("target_stain", str, None, "Stain of the target."),
            Option("mpp", float, None, "um per pixel of the images.", 0.01),
            Option("holdout", float, 0.2, "Share of the slides to measure on, not learnt.", 0, 0.5),
            Option("start", str, "", "A model to begin with, of any pair."),
        ),
    ),
    evaluation=Evaluation(
        help="Measure a pair of stains on images of both, which need not be of the same tissue.",
        folders={"source": "Images of the source stain.", "target": "Images of the target stain."},
        run=".evaluate:evaluated",
    ),
    prediction=Prediction(
        verb="apply",
        help="Paint slides in the other stain of a pair: virtual, synthetic.",
        open="napari_pathogan.slides.slide:Slide.open",
        run=".export:predicted",
        picture=".export:picture",
        options=(
            Option(
                "source_stain",
                str,
                None,
                "The slide's own stain, one of the pair's; measured by its colours where not said.",
            ),
            SLIDE_MPP,
        ),
        exports=(
            Export(
                "output",
                "OME-Zarr to write; a folder for several slides.",
                ".export:ZARR",
                ".export:write_painted",
                ".ome.zarr",
                "Slide in this virtual stain (OME-Zarr)…",
                needed=True,
            ),
        ),
    ),
)

TASKS = (TASK,)

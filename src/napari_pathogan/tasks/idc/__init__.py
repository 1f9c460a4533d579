"""IDC: invasive ductal carcinoma in H&E slides."""

from napari_pathogan.engine.task import (
    EPOCHS,
    IDENTIFIERS,
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

_FOLDER = "Patches (<patient>/<0, 1 or unlabelled>/*.png), or annotated slides."
_CLASSES = Option(
    "classes",
    "napari_pathogan.tasks.idc.annotated:class_changes",
    None,
    "What classes of outlines count as, where the table does not know: NAME=IDC, healthy or "
    "ignored; several after commas.",
    metavar="NAME=KIND",
)
_FAST = Option("fast", bool, False, "By the model's small network alone, ten times as fast.")
_VIEWS = Option("views", int, 1, "Flips and turns each patch is seen in.", 1, 8)

TASK = Task(
    name="idc",
    package=__name__,
    words="idc",
    help="Invasive ductal carcinoma in H&E slides.",
    title="Invasive ductal carcinoma",
    model=".model:IdcModel",
    graph=".graph:graph",
    default="idc-lite0",
    training=Training(
        help="Train an IDC model on patches, split by patient.",
        folder=_FOLDER,
        read=".annotated:read_training_folder",
        recipes=".config:RECIPES",
        check=".crossval:check",
        learn=".crossval:learn",
        settings=(
            Option(
                "method",
                ("cgan", "cnn", "frozen"),
                None,
                "Conditional GAN (the default), its CNN alone, or a head on a pretrained backbone.",
            ),
            Option(
                "backbone",
                str,
                None,
                "A pretrained trunk: efficientnet-lite0 (frozen's default), hf-hub:NAME@REVISION, or "
                "TIMM_NAME=FILE.safetensors; of a GAN or CNN it learns on.",
            ),
            Option("width", float, None, "Width multiplier: 1 (the default), 2 or 4.", 0.01),
            Option("labelled", float, None, "Share of the labels to use; all by default."),
            EPOCHS,
            Option("batch", int, None, "Patches a step.", 2),
            Option(
                "patience",
                int,
                None,
                "Stop after so many epochs without a better held-out AUC; never by default.",
            ),
            SEED,
        ),
        options=(
            Option("folds", int, 0, "Patient folds to cross-validate; 0: none.", 0),
            Option(
                "holdout",
                float,
                None,
                "Without folds: share of the patients held out; 0.2 by default.",
                0,
                0.5,
                before=0.2,
            ),
            _CLASSES,
        ),
    ),
    evaluation=Evaluation(
        help="Evaluate an IDC model on labelled patches: the paper's Table 1 and more, with "
        "intervals.",
        folders={"folder": "Patches (<patient>/<0 or 1>/*.png), or annotated slides."},
        run=".contract:evaluated",
        options=(
            Option(
                "context",
                bool,
                False,
                "As the heat map: slide's own colours and neighbours.",
            ),
            Option("prevalence", float, None, "Report at this share of IDC, e.g. 0.284."),
            _CLASSES,
            _FAST,
            _VIEWS,
        ),
    ),
    prediction=Prediction(
        help="Compute an IDC heat map of a slide's tissue, with areas and outlines.",
        open="napari_pathogan.slides.slide:Slide.open",
        run=".contract:predicted",
        picture=".contract:picture",
        options=(
            SLIDE_MPP,
            Option("threshold", float, None, "IDC from this probability on.", 0, 1),
            REGION,
            Option("step", float, None, "um from cell to cell: 200, 100 or 40.", 1),
            _FAST,
            Option(
                "fit",
                bool,
                False,
                "Fit the model's head to the slide first, by its own map: no annotations needed.",
            ),
            _VIEWS,
            Option("cells", bool, False, "GeoJSON with every cell as a tile."),
            IDENTIFIERS,
        ),
        exports=(
            Export(
                "output",
                "OME-Zarr to write; a folder for several slides.",
                ".export:ZARR",
                ".export:write_zarr",
                ".ome.zarr",
                "Heat map (OME-Zarr)…",
            ),
            Export(
                "geojson",
                "Outlines for QuPath.",
                ".export:GEOJSON",
                ".export:write_geojson",
                ".geojson",
                "Outlines for QuPath (GeoJSON)…",
            ),
            Export(
                "csv",
                "Table, a row a cell.",
                ".export:CSV",
                ".export:write_csv",
                ".csv",
                "Table of all cells (CSV)…",
            ),
            Export(
                "report",
                "Report page, PNG.",
                ".page:REPORT",
                ".page:write_report",
                ".png",
                "Report page (PNG)…",
            ),
            Export(
                "seg",
                "DICOM segmentation, of a DICOM slide (needs the extra sr).",
                ".dicom:SEG",
                ".dicom:write_seg",
                ".seg.dcm",
                "Heat map as a DICOM segmentation…",
                usual=False,
                lacks="napari_pathogan.engine.dicom_objects:no_dicom",
            ),
        ),
    ),
    retraining=Retraining(
        suffix=".idc.geojson",
        classes={"IDC": "#c8003c", "healthy": "#0033cc"},
        read=".live:read",
        write=".live:write",
        count=".live:patches_of",
        learn=".live_retrain:retrain",
        review=".review:review",
        deep=".learn_on:learn_on",
        deep_recipes=".config:DEEP_RECIPES",
        kinds=".annotated:class_changes",
        counted="patches",
    ),
    gains={
        "held_back_auc": "told apart on outlines held back (AUC)",
        "other_slide_auc": "told apart on slides held back (AUC)",
        "reference_auc": "told apart on images of the first training (AUC)",
        "generated_auc": "told apart on generated patches, by the network that learnt (AUC)",
    },
)

GENERATOR = Task(
    name="idc-generator",
    package=__name__,
    words="idc",
    help="Synthetic H&E patches.",
    model=".generate:IdcGenerator",
    default="idc-generator",
    generator=".generate:IdcGenerator.generate",
)

TASKS = (TASK, GENERATOR)

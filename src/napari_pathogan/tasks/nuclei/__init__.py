"""Nuclei: U-Net segmentation, instances, and unsupervised classes (paper 3)."""

from pathlib import Path

from napari_pathogan.engine.task import (
    COMPARE,
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

EPOCHS_ON = 5  # of what goes on from a model: enough for some corrected regions
_FOLDER = "images/ and masks/ of the same names, or annotated slides."
_MPP = Option(
    "mpp", float, None, "um per pixel of the images; 0.25 by default.", 0.05, 4, before=0.25
)
_PATIENT = Option(
    "patient",
    str,
    r"(.+)_\d+",
    "Regular expression; its group is the patient in a file's name.",
    metavar="REGEX",
)
_THRESHOLD = Option(
    "threshold",
    float,
    None,
    "Nucleus from this probability on; the model's own.",
    0,
    1,
)
_VIEWS = Option("views", int, None, "Flips and turns each image is seen in; the model's own.", 1, 8)

TASK = Task(
    name="nuclei",
    package=__name__,
    words="nuclei",
    help="Nuclei in H&E slides.",
    title="Nuclei",
    model=".model:NucleiModel",
    graph=".graph:graph",
    default="nuclei-ensemble",
    training=Training(
        help="Train a U-Net on images with nucleus masks, split by patient.",
        folder=_FOLDER,
        read=".data:read_training_folder",
        recipes=".config:RECIPES",
        begin=".starts:begun",
        check=".crossval:check",
        learn=".crossval:learn",
        settings=(
            Option(
                "backbone",
                str,
                None,
                "A pretrained network as the way down: efficientnet-lite0, hf-hub:NAME@REVISION, or "
                "TIMM_NAME=FILE.safetensors, with a recipe of its own. None by default, as in the "
                "paper.",
                metavar="NAME",
            ),
            Option(
                "width",
                int,
                None,
                "Channels of the first stage, or of a step up from a backbone; the recipe's by "
                "default.",
                1,
            ),
            EPOCHS,
            Option("batch", int, None, "Crops a step.", 1),
            SEED,
        ),
        options=(
            Option(
                "folds",
                "napari_pathogan.tasks.nuclei.contract:folds",
                0,
                "Patient folds to cross-validate, 'patients' for one a patient; 0: none.",
                metavar="N|patients",
            ),
            _MPP,
            _PATIENT,
            Option(
                "others",
                Path,
                None,
                "images/ and masks/ of other laboratories, to learn from beside; each is brought "
                "to the scale at which its nuclei have the usual size.",
            ),
            Option(
                "start",
                str,
                "",
                "Begin with an earlier run of the same folds, or (without folds) with a model; "
                "the network's shape is theirs.",
                metavar="RUN|MODEL",
            ),
            COMPARE,
        ),
    ),
    evaluation=Evaluation(
        help="Evaluate a nucleus model on images with masks: the paper's figures and more, with "
        "intervals.",
        folders={"folder": _FOLDER},
        run=".contract:evaluated",
        options=(_MPP, _PATIENT, _THRESHOLD, _VIEWS),
    ),
    prediction=Prediction(
        verb="segment",
        help="Find the nuclei in a slide's tissue, measure them, and tell their classes.",
        open="napari_pathogan.slides.slide:Slide.open",
        load=".contract:load",
        run=".contract:predicted",
        picture=".contract:picture",
        options=(
            Option("classes", str, "none", "Name of a class model, or its folder; or none."),
            Option(
                "tissue",
                str,
                "",
                "The organ, such as colon: classes have names where they were checked on it; else "
                "they are groups.",
            ),
            Option(
                "instanseg",
                Path,
                None,
                "InstanSeg's TorchScript file, instead of --model. It is code: it runs.",
            ),
            SLIDE_MPP,
            _THRESHOLD,
            _VIEWS,
            REGION,
            IDENTIFIERS,
        ),
        exports=(
            Export(
                "output",
                "OME-Zarr to write; a folder for several slides.",
                ".export:ZARR",
                ".export:write_zarr",
                ".ome.zarr",
                "Labels (OME-Zarr)…",
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
                "Table, a row a nucleus.",
                ".export:CSV",
                ".export:write_csv",
                ".csv",
                "Table of all nuclei (CSV)…",
            ),
            Export(
                "parquet",
                "The same table as Parquet.",
                ".export:PARQUET",
                ".export:write_parquet",
                ".parquet",
                "Table of all nuclei (Parquet)…",
                usual=False,
            ),
            Export(
                "ann",
                "DICOM annotations, of a DICOM slide (needs the extra sr).",
                ".dicom:ANN",
                ".dicom:write_ann",
                ".ann.dcm",
                "Outlines as DICOM annotations…",
                usual=False,
                lacks="napari_pathogan.engine.dicom_objects:no_dicom",
            ),
            Export(
                "anndata",
                "The same table as AnnData, for scanpy and squidpy (needs the extra scverse).",
                ".scverse:ANNDATA",
                ".scverse:write",
                ".h5ad",
                "Table of all nuclei (AnnData)…",
                usual=False,
                lacks=".scverse:lacks",
            ),
        ),
    ),
    retraining=Retraining(
        suffix=".nuclei.geojson",
        classes={},
        read=".retrain:read",
        write=".retrain:write",
        count=".retrain:counted",
        learn=".retrain:retrain",
    ),
    gains={
        "dice": "overlap with the marked nuclei (Dice)",
        "pq": "nuclei found one by one (PQ)",
        "reference_dice": "overlap on drawn tiles, the same for all models (Dice)",
        "reference_pq": "found one by one on drawn tiles (PQ)",
    },
)

TASKS = (TASK,)

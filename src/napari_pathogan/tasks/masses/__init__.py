"""Masses in mammograms: a Mask R-CNN, trained beside lesions blended into healthy breasts.

Paper: Mass Detection via Blending Adversarial Learning (Lin et al., 2019; paper 2).
"""

from napari_pathogan.engine.task import (
    COMPARE,
    EPOCHS,
    IDENTIFIERS,
    SEED,
    Evaluation,
    Export,
    Option,
    Output,
    Prediction,
    Retraining,
    Task,
    Training,
)

EPOCHS_ON = 1  # of what goes on from a model
_FOLDER = "images/, images.csv and boxes.csv, or images with reviewed masses beside them."

TASK = Task(
    name="masses",
    package=__name__,
    words="masses",
    help="Masses in mammograms.",
    model=".model:MassModel",
    default="masses-inbreast",
    training=Training(
        help="Train a Mask R-CNN on mammograms with boxes of masses, split by patient.",
        folder=_FOLDER,
        read=".annotated:read_training_folder",
        recipes=".config:RECIPES",
        recipe_names=("paper", "quick", "pretrained"),
        about_recipes="The paper's ResNet-50; a slim detector, or one on a pretrained trunk, that learn on a CPU.",
        begin=".contract:begun",
        check=".crossval:check",
        learn=".crossval:learn",
        settings=(
            Option(
                "arm",
                ("real", "poisson", "adversarial", "blending"),
                None,
                "Real mammograms alone, or lesions blended into healthy ones (default).",
            ),
            Option(
                "weights",
                str,
                None,
                "COCO weights as safetensors to begin with.",
                metavar="FILE",
            ),
            EPOCHS,
            SEED,
        ),
        options=(
            Option("folds", int, 0, "Patient folds to cross-validate; 0: none.", 0),
            Option(
                "start",
                str,
                "",
                "Begin with an earlier run of the same folds, or with a model that knows no "
                "patient of the folds; the detector is the model's.",
                metavar="RUN|MODEL",
            ),
            COMPARE,
        ),
    ),
    evaluation=Evaluation(
        help="Evaluate a mass detector: the share found at given false positives an image, with "
        "intervals.",
        folders={"folder": _FOLDER},
        run=".contract:evaluated",
        options=(
            Option("films", bool, False, "Look at every image as a simulated scan of a film."),
        ),
        outputs=(
            Output("keep", "JSON to write with all that was found, for `froc`.", ".scored:JSON"),
        ),
    ),
    prediction=Prediction(
        verb="detect",
        help="Find masses in mammograms: boxes, outlines, scores and sizes in mm.",
        sources="mammograms",
        about_sources="DICOM files, grey images, or folders of a study.",
        open=".contract:opened",
        expand=".contract:views",
        together=".contract:of_cases",
        run=".contract:predicted",
        picture=".contract:picture",
        options=(
            Option(
                "threshold",
                float,
                None,
                "A mass from this score on; the model's own. 0: all.",
                0,
                1,
            ),
            Option("mm", float, None, "mm per pixel, where the image does not say.", 1e-4),
            IDENTIFIERS,
        ),
        exports=(
            Export(
                "output",
                "JSON to write; a folder for several images.",
                ".detections:JSON",
                ".detections:write_json",
                ".json",
                "Boxes, outlines, scores (JSON)…",
            ),
            Export(
                "csv",
                "Table, a row a mass; a folder for several images.",
                ".export:CSV",
                ".export:write_csv",
                ".csv",
                "Table (CSV)…",
            ),
            Export(
                "sr",
                "DICOM structured report of a DICOM image; a folder for several.",
                ".export:SR",
                ".contract:write_sr",
                ".dcm",
                "Report for an archive (DICOM SR)…",
                usual=False,
                lacks=".contract:no_dicom",
            ),
            Export(
                "gsps",
                "DICOM presentation state: outlines and scores over a DICOM image; a folder for "
                "several.",
                ".export:GSPS",
                ".contract:write_gsps",
                ".gsps.dcm",
                "Drawn over the image in an archive (DICOM GSPS)…",
                usual=False,
                lacks=".contract:no_dicom",
            ),
        ),
    ),
    retraining=Retraining(
        suffix=".masses.geojson",
        classes={"Mass": "#ff9f0a", "Ignore*": "#8e8e93"},
        images="mammograms",
        open=".retrain:opened",
        by_patient=True,
        read=".retrain:read",
        write=".retrain:write",
        count=".retrain:counted",
        learn=".retrain:retrain",
    ),
    gains={"tpr_at_0.5": "share of the masses found at one false mark in two images"},
)

TASKS = (TASK,)

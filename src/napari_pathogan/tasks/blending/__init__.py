"""Lesions blended into healthy breasts: the blending adversarial network of paper 2 (section 2)."""

from napari_pathogan.engine.task import EPOCHS, SEED, Option, Task, Training

TASK = Task(
    name="masses-blending",
    package=__name__,
    words="masses",
    verb_prefix="blend-",
    help="Masses in mammograms.",
    title="Synthetic masses",
    model=".model:BlendModel",
    default="masses-blending",
    training=Training(
        help="Train a network that blends masses into healthy mammograms.",
        folder="images/, images.csv and boxes.csv.",
        read="napari_pathogan.tasks.masses.data:read_mass_folder",
        recipes=".config:RECIPES",
        recipe_names=("paper",),
        small="paper",
        learn=".model:learn",
        settings=(
            Option(
                "method",
                ("blending", "adversarial"),
                None,
                "With prior knowledge of the mass (default), or without (adversarial).",
            ),
            Option("width", int, None, "Channels of the generator at full size.", 1),
            EPOCHS,
            SEED,
        ),
    ),
)

TASKS = (TASK,)

"""A task of one folder, to try what a new task gets from its contract: is a picture dark?"""

from napari_pathogan.engine.task import (
    SLIDE_MPP,
    Evaluation,
    Export,
    Option,
    Prediction,
    Task,
    Training,
)

TASK = Task(
    name="toy",
    package=__name__,
    words="toy",
    help="Dark pictures.",
    model=".toy:Toy",
    default="toy-own",
    generator=".toy:Toy.generate",
    training=Training(
        help="Learn what is dark.",
        read=".toy:read",
        recipes=".toy:RECIPES",
        recipe_names=("paper",),
        learn=".toy:learn",
        settings=(Option("epochs", int, None, "Epochs.", 1),),
        options=(Option("skip", int, 0, "Pictures to leave out.", 0),),
    ),
    evaluation=Evaluation(run=".toy:evaluate", folders={"folder": "Pictures."}),
    prediction=Prediction(
        help="Say how dark a picture is.",
        open="napari_pathogan.slides.slide:Slide.open",
        run=".toy:predict",
        options=(Option("threshold", float, 0.5, "Dark from here on.", 0, 1), SLIDE_MPP),
        exports=(Export("output", "Text.", ".toy:TEXT", ".toy:write", ".toy.txt", "Text…"),),
    ),
)

TASKS = (TASK,)

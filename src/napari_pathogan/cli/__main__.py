"""``python -m napari_pathogan.cli``: how jobs start the command line; it ends with its parent."""

from napari_pathogan.cli.app import main
from napari_pathogan.engine.jobs import end_with_parent

if __name__ == "__main__":
    end_with_parent()
    main()

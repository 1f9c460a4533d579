"""What happens when napari finds its plugins, before it opens a first file: usual readers are chosen.

napari runs nothing of a plugin until it is used, and would ask at the first PNG which reader to take. But
to find the manifest that the entry point names, in a folder of this package, Python imports this package
(:func:`importlib.util.find_spec`).
"""

import sys


def _choose(_manifests: object) -> None:
    from napari_pathogan.plugin.shell.settings import choose_usual_readers  # noqa: PLC0415

    choose_usual_readers(None)


if "napari.settings" in sys.modules:  # not where a tool lists plugins
    import npe2

    npe2.PluginManager.instance().events.plugins_registered.connect(_choose)

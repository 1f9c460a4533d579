"""The napari plugin: the only room that imports napari and Qt. Nothing heavy is imported here."""

"""napari-pathogan: deep learning for pathology and mammography in napari and on the command line."""

from importlib.metadata import version

__version__ = version("napari-pathogan")

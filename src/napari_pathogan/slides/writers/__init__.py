"""Writing slides and what lies on them: OME-TIFF, OME-Zarr."""

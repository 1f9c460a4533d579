"""Mammograms: grey images of 8 to 16 bit with laterality and view (no torch, no napari)."""

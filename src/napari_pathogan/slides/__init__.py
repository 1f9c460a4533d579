"""Slides: what can be opened, read, measured and written (no torch, no napari)."""

"""The dock of nuclei: segmentation, classes, corrections."""

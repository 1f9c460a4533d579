"""Mammograms in DICOM files: header, pixels, look-up tables."""

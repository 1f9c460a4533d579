"""Nuclei: U-Net segmentation, instances, and unsupervised classes (paper 3)."""

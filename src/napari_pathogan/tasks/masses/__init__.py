"""Masses in mammograms: a Mask R-CNN, trained beside lesions blended into healthy breasts.

Paper: Mass Detection via Blending Adversarial Learning (Lin et al., 2019; paper 2).
"""

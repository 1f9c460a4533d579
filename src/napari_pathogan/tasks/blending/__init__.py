"""Lesions blended into healthy breasts: the blending adversarial network of paper 2 (section 2)."""

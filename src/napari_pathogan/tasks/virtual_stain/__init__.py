"""Another stain of the same tissue, painted by a CycleGAN (paper 4)."""

"""Invasive ductal carcinoma: semi-supervised conditional GAN and heat maps (paper 1)."""

"""The dock of stain transfer: views in another laboratory's colours."""

"""The dock of batches: one task over many slides, watched."""

"""The dock in which lesions are blended into mammograms."""

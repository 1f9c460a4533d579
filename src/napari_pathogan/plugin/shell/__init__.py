"""What all docks share: the dock itself, its form, work in the background, closing, settings."""

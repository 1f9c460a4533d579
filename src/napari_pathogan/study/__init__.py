"""Real-versus-generated reader studies: design, record, statistics, report (no torch, no napari)."""

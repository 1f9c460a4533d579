"""How any model runs and learns: devices, events, runs, jobs, models on disk (no napari)."""

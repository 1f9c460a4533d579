"""How any model runs and learns: devices, events, runs, jobs, models on disk (no napari)."""

import os

# huge pages for torch's large pieces of memory, where Linux has some: a third of the time of a network's
# many maps goes to the system without
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

"""Between napari's viewer and our data: readers, writer, layers, samples, commands, the canvas."""

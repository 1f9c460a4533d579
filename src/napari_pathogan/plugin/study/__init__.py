"""The dock of reader studies: making, reading, results."""

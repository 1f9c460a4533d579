"""The Jobs dock: the trainings that run, wait and have ended."""

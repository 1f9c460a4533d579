"""The Slides dock: what is open, one at a time or all, and what lies on it."""

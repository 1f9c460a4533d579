"""The dock of virtual stains: a slide as other stains would show it."""

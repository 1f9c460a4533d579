"""Colours that several tasks speak of: Lab, Macenko, Reinhard, a slide's own."""

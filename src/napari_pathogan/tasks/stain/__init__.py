"""Views of a slide in another laboratory's colours (paper 3, section 3.1)."""

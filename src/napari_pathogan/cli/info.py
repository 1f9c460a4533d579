"""``pathogan info``: what a slide is."""

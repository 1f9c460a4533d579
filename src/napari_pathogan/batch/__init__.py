"""Many slides: one task over all of them, here, on several cores, or on a cluster.

What is done with one slide is a :class:`~.job.SlideJob`, which travels; its folder appears whole or
not at all. So a batch that is killed anywhere is gone on from, and nothing is done twice.
"""

"""The report's page as a kind of output; what draws it, and takes long to import, is in :mod:`.html`."""

from __future__ import annotations

from napari_pathogan.kinds import web_page

PAGE = web_page("report of a study", '<meta name="generator" content="napari-pathogan')

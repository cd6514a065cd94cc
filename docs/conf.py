"""The site, from the saved notebooks, which are not executed: python -m sphinx -W docs docs/_build

Nothing is fetched from elsewhere, so the pages open from a folder, too. `pages.py` has what is
ours: the copies of the notebooks, how claims are shown, and the directives of the pages.
"""

import sys
from pathlib import Path

from myst_nb.core import render

sys.path.insert(0, str(Path(__file__).parent))
import pages

project = "epochlab"
author = "the epochlab authors"
copyright = "the epochlab authors; text and figures CC BY 4.0, code MIT"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.viewcode", "pages"]
exclude_patterns = ["_build", "jupyter_execute", "node_modules", "failed_or_moved.md"]
suppress_warnings = ["toc.empty_glob"]  # there may be no evidence yet
default_role = "code"
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False  # those of Keras are not written for this page
autodoc_typehints = "none"  # docstrings say what is taken

nb_execution_mode = "off"
nb_merge_streams = True
nb_ipywidgets_js = {}  # would be fetched from elsewhere
nb_mime_priority_overrides = [("*", pages.CLAIM_MIME, 0)]
# myst-nb knows plugins only as entry points of an installed package, which this folder is not.
render.load_mime_renders = lambda: [pages.Outputs]
myst_heading_anchors = 4
myst_heading_slug_func = "pages.anchor"

html_theme = "sphinx_book_theme"
html_title = "epochlab"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_copy_source = False
html_show_sphinx = False
html_context = {"default_mode": "auto"}  # light or dark as the reader's system is
html_theme_options = {
    "navbar_persistent": [],  # one search is enough
    "use_download_button": False,
    "use_fullscreen_button": False,
    "show_navbar_depth": 1,
    "show_toc_level": 2,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}

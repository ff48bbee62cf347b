"""Configuration of the documentation site: ``nox -s docs`` builds it into ``docs/_build/html``."""

import os
import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "Crystallize"
author = "The Crystallize developers"
copyright = author  # noqa: A001 - the name that Sphinx reads
version = release = version_of("pytest-crystallize")

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "sphinx.ext.intersphinx",
    "navigation",
    "reference",
    "rendering",
]
exclude_patterns = ["_build", "_ext"]

myst_heading_anchors = 4
myst_enable_extensions = ["deflist"]

autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"
autodoc_type_aliases = {"ArrayLike": "numpy.typing.ArrayLike"}
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 80
numpydoc_show_class_members = False  # autodoc shows them
numpydoc_attributes_as_param_list = True
default_role = "literal"  # names between backticks, which `reference` makes links of

nitpicky = True
# types of signatures may be internal, and those of docstrings are words
nitpick_ignore_regex = [("py:class", ".*"), ("py:obj", r"typing\..*")]
intersphinx_mapping = {
    "numpy": ("https://numpy.org/doc/stable/", None),
    "pytest": ("https://docs.pytest.org/en/stable/", None),
    "python": ("https://docs.python.org/3/", None),
    "scipy": ("https://docs.scipy.org/doc/scipy/", None),
}
if "READTHEDOCS" not in os.environ and "DOCS_ONLINE" not in os.environ:
    # a build without a network, and without a warning for it: names of other projects are text
    intersphinx_mapping = {}

html_theme = "furo"
html_title = f"{project} {version}"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_copy_source = False
html_show_sphinx = False

linkcheck_anchors = False

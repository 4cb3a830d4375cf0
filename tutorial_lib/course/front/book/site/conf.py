"""How Sphinx builds the book. `tutorial book` copies this file beside the pages that it has prepared."""

project = "Training tricks you can understand and trust"
author = copyright = "The tutorial_lib authors"
language = "en"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "tutorial_lib.course.front.book.extension",
]
myst_enable_extensions = ["amsmath", "attrs_block", "colon_fence", "dollarmath", "strikethrough"]
myst_heading_anchors = 3
# A chapter may go from a title to a third heading; the page shows it as it is.
suppress_warnings = ["myst.header", "myst.strikethrough"]

html_theme = "furo"
html_title = "Training tricks"
html_static_path = ["_static"]
html_css_files = ["book.css"]
html_js_files = [("book.js", {"defer": "defer"})]
html_math_renderer = "mathml"
html_favicon = "_static/icon.svg"
html_domain_indices = False
html_copy_source = False
html_show_sourcelink = False
html_theme_options: dict = {"top_of_page_buttons": []}
copybutton_selector = "div.highlight-python pre, div.highlight-default pre, div.highlight-bash pre"

add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"exclude-members": "__init__, __new__"}
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
napoleon_custom_sections = [("References", "notes_style")]

"""Sphinx configuration. ``make docs`` builds the pages; warnings are errors."""

import inspect
import sys
from types import SimpleNamespace

from sphinx.ext.autodoc.mock import mock

from electra_common import __version__

# The API pages need the signatures and docstrings of both families, and no arithmetic. So the frameworks are replaced
# by stand-ins while our packages are imported: the build needs neither, is fast, and never has both in one process.
STAND_INS = ("torch", "tensorflow", "keras", "optree")
with mock(STAND_INS):
    import keras

    keras.config = SimpleNamespace(backend=lambda: "tensorflow")  # `electra_tf` refuses any other one
    # A decorator must give the class back, which a stand-in for it would not.
    keras.saving = SimpleNamespace(register_keras_serializable=lambda **options: lambda kind: kind)
    import electra_pt.applications
    import electra_pt.fine_tuned
    import electra_pt.prepacking
    import electra_tf.applications
    import electra_tf.fine_tuned
    import electra_tf.prepacking


def _hide_stand_ins(model):
    """Keep Sphinx from looking for the signature and the source of a stand-in, which would import the real thing."""
    own = inspect.signature(model.__init__)
    model.__signature__ = own.replace(parameters=list(own.parameters.values())[1:], return_annotation=own.empty)
    for base in model.__mro__:
        if base.__module__.partition(".")[0] in STAND_INS:
            base.__module__ = "builtins"


for family in (electra_pt, electra_tf):
    for name in family.__all__:
        _hide_stand_ins(getattr(family, name))


def _keep_colons(app, what, name, obj, options, lines):
    """Napoleon takes what stands before a colon in a property's first line for its type; put the line back."""
    if what == "property":
        lines[:] = inspect.getdoc(obj).splitlines()


def _check_stand_ins_were_enough(app, exception):
    found = {"torch", "tensorflow", "keras"} & set(sys.modules)
    assert not found, f"the build imported {', '.join(sorted(found))}"


def setup(app):
    """Connect the functions above; the first one runs after Napoleon's."""
    app.connect("autodoc-process-docstring", _keep_colons, priority=600)
    app.connect("build-finished", _check_stand_ins_were_enough)


project = "electra-dual"
author = project_copyright = "The electra-dual developers"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
myst_heading_anchors = 3

napoleon_numpy_docstring = False
napoleon_use_ivar = True
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
add_module_names = False
maximum_signature_line_length = 88  # longer signatures get a line for each argument

html_theme = "furo"
html_title = f"electra-dual {__version__}"
html_static_path = ["_static"]
html_css_files = ["tables.css"]

"""How the site is built: ``make docs``."""

import inspect
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from sphinx.util.nodes import make_refnode

from diffclf_lightning import __version__

project = "diffclf-lightning"
author = "The diffclf-lightning team"
copyright = author
release = version = __version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "myst_nb",
    "command_help",
]
exclude_patterns = ["_build"]
suppress_warnings = ["config.cache"]

html_theme = "furo"
html_title = f"diffclf-lightning {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {
    "source_repository": "https://github.com/diffclf-lightning/diffclf-lightning",
    "source_branch": "main",
    "source_directory": "docs/",
}
html_show_copyright = False
copybutton_exclude = ".linenos, .gp, .go"

myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3

nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_timeout = 120
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True
nb_output_stderr = "remove"  # what libraries log

autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

# Names of other packages cannot be looked up, since the build asks no network (no intersphinx).
PACKAGE = "diffclf_lightning"
OTHERS = (
    r"PIL|Trainer|abc|argparse|collections|dict\[.*|diffusers|enum|fractions|jsonargparse|lightning|"
    "matplotlib|numpy|pathlib|pyarrow|random|re|rich|timm|torch|torchmetrics|torchvision|transformers|typing"
)
nitpick_ignore_regex = [("py:.*", rf"({OTHERS})(\..*)?")]

# What `make linkcheck` asks for; papers and data sets are behind pages that refuse machines.
linkcheck_anchors = False


def setup(app: Any) -> None:
    """Connect what follows."""
    app.connect("autodoc-skip-member", _skip_inherited)
    app.connect("missing-reference", _find_by_short_name)


def _skip_inherited(app: Any, what: str, name: str, obj: Any, skip: bool, options: Any) -> Any:
    """Leave out overrides whose documentation is that of another package's class."""
    function = obj.fget if isinstance(obj, property) else obj
    owner = getattr(function, "__qualname__", "").rpartition(".")[0]
    kind = getattr(sys.modules.get(getattr(function, "__module__", None) or ""), owner, None)
    if not isinstance(kind, type) or inspect.isclass(obj) or function.__doc__:
        return None
    documented = [base for base in kind.__mro__ if getattr(vars(base).get(name), "__doc__", None)]
    return True if documented and not documented[0].__module__.startswith(PACKAGE) else None


def _find_by_short_name(app: Any, env: Any, node: Any, contnode: Any) -> Any:
    """Resolve ``Strategy`` from wherever it is said, where one object alone is called so."""
    target = node.get("reftarget", "")
    domain = env.get_domain("py")
    if node.get("refdomain") != "py" or not target:
        return None
    last = target.rpartition(".")[2] if target.startswith(PACKAGE) else target
    found = {name for name in domain.objects if name == last or name.endswith(f".{last}")}
    exact = {name for name in found if not domain.objects[name].aliased}
    if len(exact) != 1:
        return None
    (name,) = exact
    entry = domain.objects[name]
    return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, contnode, name)

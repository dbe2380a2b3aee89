# SPDX-License-Identifier: GPL-2.0-only
"""How Sphinx makes HTML of these pages: scripts/docs runs it, with what the headers say
beside them in kernel-doc/. The pages are also read as they are, so nothing in them is
for Sphinx only."""

from docutils import nodes
from sphinx.util import logging

project = "vfio-pasid"
copyright = "The vfio-pasid developers"
html_theme = "alabaster"
html_theme_options = {"page_width": "1100px", "description": "PASIDs for VFIO containers"}
html_copy_source = False

# Types of the kernel, which are documented elsewhere.
nitpick_ignore = [("c:identifier", name) for name in (
    "__u8", "__u16", "__u32", "__u64", "device", "ioasid_t", "iommu_domain", "task_struct")]
# What a pointer to is given out, and nothing else.
nitpick_ignore += [("c:identifier", "vfio_mm")]

logger = logging.getLogger(__name__)


def add_contents(app, docname, source):
    """The first page has a table of the pages; Sphinx wants a tree."""
    if docname != app.config.root_doc:
        return
    pages = sorted(app.env.found_docs - {docname})
    made = [page for page in pages if page.startswith("kernel-doc/")]
    lines = ["", "Made from the sources", "=====================", "", ".. toctree::", "", *(
        f"   {page}" for page in made), "",
        "`The client crate, in Rust <rust/vfio_pasid/index.html>`_", "",
        ".. toctree::", "   :hidden:", "", *(f"   {page}" for page in pages if page not in made)]
    source[0] += "\n".join(lines) + "\n"


def make_links_html(app, doctree, docname):
    """A link to a page, which names its .rst, becomes one to its HTML."""
    for link in doctree.findall(nodes.reference):
        path, _, anchor = link.get("refuri", "").partition("#")
        page = path.removesuffix(".rst")
        if page == path or ":" in path:
            continue
        if page not in app.env.found_docs:
            logger.warning("there is no page %s", path, location=link)
            continue
        uri = app.builder.get_relative_uri(docname, page)
        link["refuri"] = f"{uri}#{anchor}" if anchor else uri


def setup(app):
    app.connect("source-read", add_contents)
    app.connect("doctree-resolved", make_links_html)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

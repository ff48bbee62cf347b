"""Navigation of the site: the lists of the index page, and the pages of names below the list of names.

The pages stay plain Markdown, which hosts of repositories show, too; what else Sphinx needs is added here.
"""

import re

import public


def toctree(caption, pages):
    """Return a hidden tree of pages, as MyST writes it."""
    head = f":caption: {caption}\n" if caption else ""
    return "\n\n```{toctree}\n:hidden:\n" + head + "\n" + "\n".join(pages) + "\n```\n"


def trees_of(index):
    """Return a tree for each section of the index: the pages that its lists lead to, each once."""
    seen = set()
    trees = []
    for section in re.split(r"^## ", index, flags=re.MULTILINE)[1:]:
        title, text = section.split("\n", 1)
        entries = []
        for name, page in re.findall(r"\[([^]]+)\]\(([\w-]+)\.md[#)]", text):
            if page not in seen:
                entries.append(f"{name[0].upper()}{name[1:]} <{page}>")
            seen.add(page)
        trees.append(toctree(title, entries))
    return "".join(trees)


def add_trees(app, name, content):
    """Add what Sphinx needs to the pages that lead to others."""
    if name == "index":
        content[0] += trees_of(content[0])
    if name == "names":
        content[0] += toctree("", [f"api/{module}" for module in public.MODULES])


def setup(app):
    """Register with Sphinx."""
    app.connect("source-read", add_trees)
    return {"parallel_read_safe": True}

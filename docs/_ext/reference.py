"""Reference pages of all public names, and links to them from wherever they are named."""

import inspect
import re
from pathlib import Path

from docutils import nodes
from public import MODULES, is_defined, public_of
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.nodes import make_refnode

TOGETHER = {*MODULES} - {"crystallize", "crystallize.stats", "crystallize.stats.power"}
"""Modules whose names share a page."""
PAGES = Path(__file__).parent.parent / "api"
LISTS = {"names", "statistics"}
"""Pages that name functions without their module."""


def summary(value):
    """Return the first line of a docstring."""
    if not is_defined(value):
        return alias(value)
    first = inspect.getdoc(value).split("\n\n")[0].replace("\n", " ")
    return re.sub(r" ?\[\d\]_", "", first)  # footnotes are on the page of the name


def alias(value):
    """Return what a name of a type stands for."""
    return f"``{re.sub(r'[a-z_.]+[.](?=[A-Z])', '', str(value))}``"


def class_directive(module, name, value, known):
    """Return the directive of a class, with members of its bases, unless those have a page."""
    bases = value.__mro__[1:]
    apart = [base for base in bases if known & {*base.__mro__} or base.__module__ in _OTHERS]
    options = f"   :members:\n   :inherited-members: {', '.join(base.__name__ for base in apart)}\n"
    if value.__bases__[0] in known:
        options += "   :show-inheritance:\n"
    return f".. autoclass:: {module}.{name}\n{options}"


_OTHERS = {"builtins", "abc", "typing", "collections.abc"}


def directive(module, name, value, known):
    """Return the directive that documents a name."""
    if inspect.isclass(value):
        return class_directive(module, name, value, known)
    if inspect.isroutine(value):
        return f".. autofunction:: {module}.{name}\n"
    return f".. py:type:: {module}.{name}\n\n   Another name of {alias(value)}.\n"


def write(page, text):
    """Write a page, unless it is there already, so that it is not read anew; return its path."""
    path = PAGES / f"{page}.rst"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
    return path


def titled(text, line="="):
    """Return a title as reStructuredText has it."""
    return f"{text}\n{line * len(text)}\n\n"


def make_pages(app):
    """Write a page for each name, and one for each module."""
    PAGES.mkdir(exist_ok=True)
    made = set()
    known = {value for module in MODULES for value in public_of(module).values() if inspect.isclass(value)}
    app.env.public_names = {}
    for module, what in MODULES.items():
        rows, entries = "", ""
        for name, value in public_of(module).items():
            rows += f"   * - :py:obj:`~{module}.{name}`\n     - {summary(value)}\n"
            entry = titled(name) + directive(module, name, value, known)
            if module in TOGETHER:
                entries += f"{entry}\n"
            else:  # none of the navigation, which each of hundreds of pages would repeat
                text = f":orphan:\n\n{entry}\n----\n\nAll names of :doc:`{module}`.\n"
                made.add(write(f"{module}.{name}", text))
            app.env.public_names[f"{module}.{name}"] = f"{getattr(value, '__module__', module)}.{name}"
        text = f".. list-table::\n   :widths: 30 70\n\n{rows}\n{entries}"
        made.add(write(module, f"{titled(module, '#')}{what.capitalize()}.\n\n{text}"))
    for path in PAGES.glob("*.rst"):
        if path not in made:
            path.unlink()


_OPTION = re.compile(r"--crystallize[a-z-]*|crystallize_[a-z_]+(?= ?=|$)")


def anchor_options(app, doctree):
    """Give each option in the tables of the page of options an anchor, which its ini option shares."""
    if app.env.docname != "options":
        return
    given = set()
    for entry in doctree.findall(nodes.entry):
        for literal in entry.findall(nodes.literal):
            option = re.match(_OPTION, literal.astext())
            anchor = option and nodes.make_id(option[0])
            if anchor and anchor not in given and entry.parent.index(entry) == 0:
                literal["ids"].append(anchor)
                given.add(anchor)


class NamesAreLinks(SphinxPostTransform):
    """What makes a link of a public name, or of an option, between backticks.

    A class is known by its name alone; a function, whose name may be a word, where its module or the sign of
    a decorator stands before it, and on the pages that list functions.
    """

    default_priority = 5

    def run(self, **kwargs):
        """Replace literals by links to what they name."""
        here = self.env.docname
        python = self.env.get_domain("py")
        for literal in list(self.document.findall(nodes.literal)):
            if isinstance(literal.parent, nodes.reference | nodes.title) or literal.get("classes"):
                continue
            text = literal.astext()
            if here != "options" and (option := re.match(_OPTION, text)):
                anchor = nodes.make_id(option[0])
                literal.replace_self(
                    make_refnode(self.app.builder, here, "options", anchor, literal.deepcopy())
                )
                continue
            found = self._found(text, here, python)
            if found is not None and found.docname != here:
                target = literal.deepcopy()
                link = make_refnode(self.app.builder, here, found.docname, found.node_id, target)
                literal.replace_self(link)

        if here.startswith("api/"):
            for typed in (*self.document.findall(nodes.classifier), *self.document.findall(nodes.term)):
                for text in list(typed.findall(nodes.Text)):
                    self._link_words(text, here, python)

    def _link_words(self, text, here, python):
        """Replace the names of classes in a type, or what is raised, by links."""
        pieces = []
        for word in re.split(r"\b([A-Z]\w+)\b", text.astext()):
            found = self._found(word, here, python) if word[:1].isupper() else None
            if found is None:
                pieces.append(nodes.Text(word))
            else:
                target = nodes.inline("", word)
                pieces.append(make_refnode(self.app.builder, here, found.docname, found.node_id, target))
        text.parent.replace(text, pieces)

    def _found(self, text, here, python):
        match = re.fullmatch(r"(@?)([A-Za-z_][\w.]*)(\(.*\))?", text)
        if match is None:
            return None
        sign, name, _ = match.groups()
        whole = name in python.objects
        is_list = here in LISTS or here.startswith("api/")
        if not (whole or sign or is_list or name[0].isupper()):
            return None
        for candidate in (name, *(f"{module}.{name}" for module in MODULES)):
            if candidate in python.objects and python.objects[candidate].objtype != "module":
                return python.objects[candidate]
        return None


def shown_signature(app, what, name, value, options, signature, result):
    """Show no signature of what users are given rather than make, and none that isn't Python."""
    doc = inspect.getdoc(value) or ""
    if what in ("class", "exception") and "\nAttributes\n" in doc and "\nParameters\n" not in doc:
        return "", None
    return signature and signature.replace("<factory>", "..."), result


def resolve(app, env, node, contnode):
    """Lead a reference to where a name is defined to where it is public."""
    python = env.get_domain("py")
    if node.get("refdomain") != "py":
        return None
    for name, defined in env.public_names.items():
        if node["reftarget"] in (defined, name.rpartition(".")[2]) and name in python.objects:
            found = python.objects[name]
            return make_refnode(app.builder, node["refdoc"], found.docname, found.node_id, contnode)
    return None


def setup(app):
    """Register with Sphinx."""
    app.connect("builder-inited", make_pages)
    app.connect("autodoc-process-signature", shown_signature)
    app.connect("doctree-read", anchor_options)
    app.connect("missing-reference", resolve)
    app.add_post_transform(NamesAreLinks)
    return {"parallel_read_safe": True}

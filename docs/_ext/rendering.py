"""Formulas as MathML, which takes no script of others; languages of blocks that Pygments lacks."""

from docutils import nodes
from latex2mathml.converter import convert
from pygments.lexers.special import TextLexer


def inline(self, node):
    """Write a formula of a line."""
    self.body.append(convert(node.astext(), display="inline"))
    raise nodes.SkipNode


def block(self, node):
    """Write a formula that stands alone."""
    self.body.append(f'<div class="math">{convert(node.astext(), display="block")}</div>')
    raise nodes.SkipNode


def setup(app):
    """Register with Sphinx."""
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    app.add_lexer("output", TextLexer)
    return {"parallel_read_safe": True}

"""Formulas as MathML, which browsers draw themselves: the site needs no network and no script."""

import re
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.errors import ExtensionError

BIG = re.compile(r"\\([bB]ig)(\\[{}|]|[()\[\]|])")


def sided(tex: str) -> str:
    r"""The formula with its `\big` and `\Big` delimiters told apart as left and right ones."""
    is_open = False

    def side(found: re.Match[str]) -> str:
        nonlocal is_open
        size, delimiter = found.groups()
        if delimiter in ("|", r"\|"):
            is_open = not is_open
            is_left = is_open
        else:
            is_left = delimiter in ("(", "[", r"\{")
        return rf"\{size}{'l' if is_left else 'r'}{delimiter}"

    return BIG.sub(side, tex)


def mathml(tex: str, *, as_block: bool) -> str:
    """The formula as an element; one that cannot be drawn ends the build."""
    try:
        return tex2mathml(sided(tex), as_block=as_block)
    except MathError as error:
        raise ExtensionError(f"The formula {tex!r} cannot be drawn: {error}") from error


def inline(self: Any, node: nodes.math) -> None:
    self.body.append(mathml(node.astext(), as_block=False))
    raise nodes.SkipNode


def block(self: Any, node: nodes.math_block) -> None:
    self.body.append(self.starttag(node, "div", CLASS="math"))
    self.body.append(mathml(node.astext(), as_block=True) + "</div>\n")
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}

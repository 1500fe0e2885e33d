"""What is printed: names from outside stay text, whatever characters they have.

A name may look like markup (`m[a]`), hold control sequences that move the cursor or rename the
window, turn the direction of writing, or be no text at all. None of that reaches a terminal.
"""

from __future__ import annotations

import re
from typing import Any

from rich.console import Console
from rich.text import Text

# Control characters but for line ends and tabs, what turns the direction of writing, line ends of
# other kinds, and bytes that are no text.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    """A text whose control characters are written out, such as `\\x1b`."""
    return _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], text)


class Terminal(Console):
    """Rich's console, for which every string is plain text."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text), **options)

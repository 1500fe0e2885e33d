"""How errors are written, everywhere: sentences that end once, short, without doubled spaces.

The texts are read from the source, so a message that no test raises is held to it as well.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import samemind.errors
from samemind.errors import SamemindError, reason

SOURCE = Path(samemind.errors.__file__).parent
KINDS = {
    name
    for name, kind in vars(samemind.errors).items()
    if isinstance(kind, type) and issubclass(kind, SamemindError) and name != "UnreadableFile"
}
INNER = ("datasets/images.py", "inputs/images.py", "inputs/pixels.py")
"""Files with messages that become a part of another one, which ends them."""


def template(text: ast.expr) -> str | None:
    """A message with the code of what is put into it in braces; None for what is no text."""
    if isinstance(text, ast.Constant) and isinstance(text.value, str):
        return text.value
    if not isinstance(text, ast.JoinedStr):
        return None
    return "".join(
        str(part.value) if isinstance(part, ast.Constant) else _put_in(part) for part in text.values
    )


def _put_in(part: ast.expr) -> str:
    assert isinstance(part, ast.FormattedValue)
    return f"{{{ast.unparse(part.value)}{'!r' if part.conversion == ord('r') else ''}}}"


def messages() -> Iterator[tuple[str, str]]:
    for path in sorted(SOURCE.rglob("*.py")):
        place = path.relative_to(SOURCE).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args):
                continue
            if node.func.id in KINDS and (text := template(node.args[0])):
                yield f"{place}:{node.lineno}", text


MESSAGES = list(messages())


def test_messages_are_found() -> None:
    assert len(MESSAGES) > 400


def test_messages_end_with_one_full_stop() -> None:
    ending = re.compile(r"([.?}]|[.}]\)|pip install '[^']+')$")
    for place, text in MESSAGES:
        if not place.startswith(INNER):
            assert ending.search(text.rstrip()), (place, text)
        plain = text.replace("...", "").replace("../", "")
        assert ".." not in plain, (place, text)


def test_what_others_say_is_no_sentence_within_a_sentence() -> None:
    """An error of Python or a library may end in a full stop, and may have many lines."""
    for place, text in MESSAGES:
        assert not re.search(r"\{(error|trouble|exc|e)\}[.,;:]", text), (place, text)


def test_messages_are_short() -> None:
    for place, text in MESSAGES:
        assert len(text) < 900, (place, text)
        assert "  " not in text, (place, text)
        # A list of whatever there is may be of any length: it is cut, or of few by its nature.
        assert not re.search(r"join\((known|there|names|held)\)", text) or len(text) < 300, place


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("too long.\nAnd more."), "too long"),
        (KeyError(), "KeyError"),
        (OSError("x" * 400), "x" * 300),
    ],
)
def test_the_reason_of_an_error_is_one_line_without_a_stop(error: Exception, said: str) -> None:
    assert reason(error) == said

"""Values and remarks as TOML, whatever is in them; tomllib reads the same values back."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence

from samemind.errors import InvalidInput
from samemind.files.reading import shown

# What TOML admits in no remark: control characters but for tabs, and halves of letters.
_NOT_IN_REMARKS = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_BARE = re.compile("[A-Za-z0-9_-]+")


def toml_value(value: object) -> str:
    """A value as TOML: a text, a number, a list or a table in one line.

    **Raises:** `InvalidInput` for what TOML has no way to write, such as a name that is not UTF-8.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        # Python writes 1e-05 and inf as TOML does, and nan too.
        return repr(value) if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        held = (f"{_key(str(key))} = {toml_value(inner)}" for key, inner in value.items())
        return f"{{{', '.join(held)}}}"
    if isinstance(value, Sequence):
        return f"[{', '.join(map(toml_value, value))}]"
    raise InvalidInput(f"TOML has no way to write {type(value).__name__}: {value!r}.")


def toml_line(key: str, value: object) -> str:
    """One line that gives a key its value."""
    return f"{_key(key)} = {toml_value(value)}"


def toml_remark(text: str) -> str:
    """A text as it may stand behind a `#`, on one line."""
    return _NOT_IN_REMARKS.sub(lambda found: ascii(found[0])[1:-1], text)


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _text(key)


def _text(text: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidInput(
            f"'{shown(text)}' is not UTF-8, and a study file can only hold names that are. Give it "
            f"another name, or make a link to it."
        ) from None
    # The texts of JSON are texts of TOML, but that TOML wants this one character written out.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")

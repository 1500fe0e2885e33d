"""Numbers per channel, as options take them."""

from __future__ import annotations

from samemind.errors import InvalidInput


def numbers_in(text: str | None, option: str) -> tuple[float, ...] | None:
    """The numbers of 'A,B,C'; None for None.

    **Raises:** `InvalidInput` that names the option.
    """
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InvalidInput(
            f"{option} takes one number per channel with commas between, such as "
            f"0.485,0.456,0.406, but '{text}' was given."
        ) from None


def numbers_of_each(
    text: str | None, option: str
) -> tuple[float, ...] | tuple[tuple[float, ...] | None, ...] | None:
    """As `numbers_in`; those of several models, with semicolons between, in their order."""
    if text is None or ";" not in text:
        return numbers_in(text, option)
    return tuple(numbers_in(part.strip() or None, option) for part in text.split(";"))

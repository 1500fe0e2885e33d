"""A pytest plug-in: `def test_swap(gate): gate(old, new, inputs, max_negative_flips=0.01)`.

pytest finds it by its entry point. Nothing here imports torch before a gate is run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from samemind.gating.verdicts import Gate


@pytest.fixture(scope="session")
def gate() -> Callable[..., Gate]:
    """`samemind.gate`, with a failed test where it does not pass.

    The failure has a sentence for every rule, and the inputs that turn from right to wrong. What is
    undecided fails too; a gate that cannot run raises its error.
    """
    return passed


def passed(*given: Any, **named: Any) -> Gate:
    """`samemind.gate`, which must pass.

    **Raises:** pytest's failure with every sentence and the flips, where it does not.
    """
    __tracebackhide__ = True
    import samemind
    from samemind.gating.writing import flips_text

    found = samemind.gate(*given, **named)
    if found.answer != "pass":
        pytest.fail(f"{found}{flips_text(found)}", pytrace=False)
    return found

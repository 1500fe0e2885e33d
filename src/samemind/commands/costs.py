"""What `samemind plan` says of the cost of what is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from samemind.artifacts import Store
    from samemind.devices import Execution
    from samemind.study import Study


def costs_of(study: Study, store: Store, execution: Execution | None) -> dict[str, Any]:
    """Passes, bytes and, with a probe, seconds; and one sentence that says so.

    **Cost:** none without `execution`; with it, a few passes through each network.
    """
    from samemind.costing import cost_of, duration, seconds_by_probe, size

    missing = [r for stage in study.stages for r in stage.recipes if not store.has(r)]
    cost = cost_of(missing)
    passes = sum(cost.passes.values())
    seconds = seconds_by_probe(cost, execution) if execution and missing else None
    if seconds is None:
        time = "`--probe` estimates how long that takes here."
    else:
        time = f"On one process of this device that takes about {duration(seconds)}."
    names = {study.dataset, study.natural.dataset} - {"digits"}
    data = "".join(
        f" `samemind data check {name}` says whether its data is here." for name in names
    )
    return {
        "passes": passes,
        "bytes": cost.bytes,
        "seconds": seconds,
        "sentence": f"What is missing takes about {passes:.3g} forward passes of one image (a "
        f"backward pass counted as one or two) and {size(cost.bytes)} of disk. {time}{data}",
    }

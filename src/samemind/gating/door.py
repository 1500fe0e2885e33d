"""`samemind.gate`: from two models and some rules to pass, fail or undecided."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from samemind.arrays import Array
from samemind.comparison.given import images_of, two_networks
from samemind.errors import InvalidInput
from samemind.execution.devices import Execution
from samemind.execution.unchanged import process_kept
from samemind.gating.policy import Rules, read_policy, rules_of
from samemind.gating.running import run_gate

if TYPE_CHECKING:
    from samemind.gating.verdicts import Gate


def gate(
    old: Any,
    new: Any = None,
    inputs: Array | str | None = None,
    *,
    labels: Array | str | None = None,
    max_negative_flips: float | None = None,
    max_negative_flips_per_class: float | None = None,
    max_accuracy_loss: float | None = None,
    min_fidelity: str | None = None,
    min_similarity: Any = (),
    sequential: bool = False,
    count: int | None = None,
    device: str = "auto",
    **further: Any,
) -> Gate:
    """Whether the new model may take the place of the old one, by rules.

    **Arguments:**

    - `old`, `new`, `inputs`, `labels`, `count`: as `samemind.fidelity` takes them; or `old` alone,
      the path of a policy file (.toml), which then says everything.
    - `max_negative_flips`: the share of inputs that may turn from right to wrong, above 0;
      `max_negative_flips_per_class` the same in every class.
    - `max_accuracy_loss`: how much accuracy may be lost.
    - `min_fidelity`: "the same answers", "equal up to rounding" or "identical bits", of each input
      but for a share `fidelity_tolerance` (0.01 unless given).
    - `min_similarity`: a list of {"layer", "above_floor", "measure", "layer_new"}.
    - `sequential`: look at inputs in random order and stop as soon as the answer is certain.
    - further: `fidelity_tolerance`, `random_seed`, `batch_size`, and the fields of
      `samemind.networks.model.Loading`.

    **Returns:** a `Gate`: `.answer` is "pass", "fail" or "undecided", `.rulings` has a sentence for
    each rule and, where undecided, the number of inputs that would decide. A pass is wrong in at
    most 2.5 % of samples, and so is a failure, with several rules and several looks too.

    **Raises:** `InvalidInput` where it cannot run: a rule that is none, no labels for rules that
    need them, models or inputs that cannot be read.
    """
    random_seed = further.pop("random_seed", None)
    execution = Execution(device=device, batch_size=further.pop("batch_size", 256))
    asked = {
        "max_negative_flips": max_negative_flips,
        "max_negative_flips_per_class": max_negative_flips_per_class,
        "max_accuracy_loss": max_accuracy_loss,
        "min_fidelity": min_fidelity,
        "min_similarity": tuple(min_similarity),
        "fidelity_tolerance": further.pop("fidelity_tolerance", None),
    }
    if new is None and isinstance(old, (str, Path)) and str(old).endswith(".toml"):
        beside = {**asked, **further, "inputs": inputs, "labels": labels, "count": count}
        beside |= {"sequential": sequential or None, "random_seed": random_seed}
        beside["min_similarity"] = asked["min_similarity"] or None
        given = [name for name, value in beside.items() if value is not None]
        if given:
            raise InvalidInput(
                f"The policy {old} says everything, but {', '.join(sorted(given))} was given "
                f"beside it. Write it into the policy."
            )
        return gate_of_policy(Path(old), execution)
    if new is None or inputs is None:
        raise InvalidInput(
            "A gate needs the old model, the new one and inputs, or the path of a policy (.toml). "
            "Give all three."
        )
    return _gate(
        old, new, inputs, labels, count, rules_of(asked), execution,
        sequential=sequential, random_seed=random_seed or 0, loading=further,
    )  # fmt: skip


def gate_of_policy(path: Path, execution: Execution | None = None) -> Gate:
    """The gate of a policy file.

    **Raises:** `InvalidInput` and what reading models and inputs raises.
    """
    policy = read_policy(path)
    return _gate(
        policy.old, policy.new, policy.inputs, policy.labels, policy.count, policy.rules,
        execution or Execution(), sequential=policy.sequential, random_seed=policy.random_seed,
        loading=policy.loading,
    )  # fmt: skip


def _gate(
    old: Any,
    new: Any,
    inputs: Array | str,
    labels: Array | str | None,
    count: int | None,
    rules: Rules,
    execution: Execution,
    *,
    sequential: bool,
    random_seed: int,
    loading: Any,
) -> Gate:
    with process_kept():
        images = images_of(inputs, labels, count, random_seed)
        a, b = two_networks(old, new, images, loading)
        return run_gate(
            a, b, images, rules, execution, sequential=sequential, random_seed=random_seed
        )

"""Does fidelity find faults at their layers, and leave conversions alone? And do CKA and others?

    python benchmarks/fidelity.py [--faults N] [--part K/M] [--out FILE]

Small networks trained on digits (seconds each); at least 100 planted faults of ten kinds and 100
clean conversions. For each, `samemind.fidelity`, and beside it thresholds on linear CKA, Pearson
correlation and cosine, layer by layer, each set so that it calls 5 % of the clean ones changed.
"""

from __future__ import annotations

import argparse
import copy
import json
import tempfile
import warnings
from pathlib import Path
from time import process_time

import numpy as np
import torch
from fidelity_networks import BODIES, CLEAN, FAULTS, pictures, trained
from torch import Tensor, nn

import samemind
from samemind.comparison.departures import matched
from samemind.comparison.fidelity import Fidelity, fidelity_of
from samemind.execution.devices import Execution
from samemind.extraction.looking import look
from samemind.extraction.traces import plain, trace
from samemind.inputs.images import given_images
from samemind.measures import measure
from samemind.networks.opening import model_of

SEEDS = 2  # networks of each kind
INPUTS = 300
ALARMS = 0.05
FEW = 32  # inputs whose layers are compared


def scores_by_layer(old: nn.Module, new: nn.Module, images: Tensor) -> list[tuple[str, dict]]:
    """CKA, correlation and cosine of each matched layer, in order; the inputs of the first come
    first."""
    first, second = (trace(plain(n), images) for n in (old, new))
    pairs = matched(first, second)
    found = []
    for a, b in sorted(pairs.places.items()):
        sides = [("gives", first[a].name)]
        if not found:
            sides.insert(0, ("reads", "the inputs"))
        for side, name in sides:
            one, other = getattr(first[a], side), getattr(second[b], side)
            if one is None or other is None or one.shape != other.shape or one.ndim < 2:
                continue
            found.append((name, _alike(one.double(), other.double())))
    return found


def _alike(a: Tensor, b: Tensor) -> dict[str, float]:
    a, b = a.flatten(1), b.flatten(1)
    if len(a) < FEW:
        return {}
    try:
        cka = float(measure("linear_cka")(a, b))
    except samemind.SamemindError:  # constant: nothing to be compared
        cka = 1.0
    pearson = float(np.corrcoef(a.flatten(), b.flatten())[0, 1]) if a.std() and b.std() else 1.0
    cosine = float(torch.nn.functional.cosine_similarity(a, b, dim=1).mean())
    return {"linear CKA": cka, "Pearson correlation": pearson, "cosine": cosine}


def fidelity_at(old: nn.Module, new: nn.Module, images: Tensor, kind: str) -> Fidelity:
    """Fidelity where the second one is run with another batch size or number of threads."""
    held = given_images(images)
    a, b = (model_of(n, m, images[:2]) for n, m in (("old", old), ("new", new)))
    seen = look([a], held, Execution(batch_size=256))
    other = Execution(
        batch_size=1 if "batch" in kind else 256, threads=2 if "thread" in kind else 1
    )
    seen |= look([b], held, other)
    torch.set_num_threads(1)
    found = fidelity_of(a, b, (seen["old"], seen["new"]), held, Execution(batch_size=256))
    assert found is not None
    return found


def trial(
    old: nn.Module, new: nn.Module, images: Tensor, layers: frozenset[str], kind: str = ""
) -> dict:
    """What each way says of one pair."""
    start = process_time()
    if "another" in kind and not layers:
        found = fidelity_at(old, new, images, kind)
    else:
        found = samemind.fidelity(old, new, images)
    seconds = process_time() - start
    at = found.departure.layer.partition("#")[0] if found.departure else ""
    return {
        "level": found.level,
        "at": at,
        "is_right": at in layers,
        "hint": found.hint,
        "seconds": seconds,
        "changed": found.kept.changed,
        "others": scores_by_layer(old, new, images[:FEW]),
        "layers": sorted(layers),
    }


def threshold(clean: list[dict], name: str) -> float:
    """The score below which so few clean conversions have any layer."""
    least = [min((s[name] for _, s in c["others"] if s), default=1.0) for c in clean]
    return float(np.quantile(least, ALARMS))


def named(found: dict, name: str, below: float) -> str:
    """The first layer that a threshold blames; "" for none."""
    blamed = (layer for layer, s in found["others"] if s and s[name] < below)
    return next(blamed, "").partition("#")[0]


def table(faults: list[dict], clean: list[dict]) -> str:
    """The results as a table for docs."""
    lines = [
        "| way | faults found | with the right layer | clean called different |",
        "| --- | --- | --- | --- |",
    ]
    told = [f for f in faults if f["level"] in ("changed", "the same answers")]
    right = [f for f in told if f["is_right"]]
    wrong = [c for c in clean if c["level"] in ("changed", "the same answers")]
    changed = [c for c in clean if c["level"] == "changed"]
    lines.append(
        f"| `samemind.fidelity` | {_of(told, faults)} | {_of(right, faults)} | "
        f"{_of(wrong, clean)} ({len(changed)} changed) |"
    )
    for name in ("linear CKA", "Pearson correlation", "cosine"):
        below = threshold(clean, name)
        blamed = [(f, named(f, name, below)) for f in faults]
        found = [f for f, at in blamed if at]
        hits = [f for f, at in blamed if at in f["layers"]]
        alarms = [c for c in clean if named(c, name, below)]
        lines.append(
            f"| {name} below {below:.7f} | {_of(found, faults)} | {_of(hits, faults)} | "
            f"{_of(alarms, clean)} |"
        )
    return "\n".join(lines)


def by_kind(faults: list[dict]) -> str:
    """How each kind of fault fared."""
    lines = ["| fault | planted | found at its layer | a decision changes |",
             "| --- | --- | --- | --- |"]  # fmt: skip
    for kind in FAULTS:
        own = [f for f in faults if f["kind"] == kind]
        if own:
            right = [f for f in own if f["is_right"] and "bits" not in f["level"]]
            lines.append(
                f"| {kind} | {len(own)} | {len(right)} | {sum(f['changed'] > 0 for f in own)} |"
            )
    return "\n".join(lines)


def _of(some: list, every: list) -> str:
    return f"{100 * len(some) / max(len(every), 1):.0f} %"


def main() -> None:
    """Trains, breaks, converts, and prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faults", type=int, default=11, help="of each kind")
    parser.add_argument("--clean", type=int, default=100)
    parser.add_argument("--out", type=Path, help="JSON of every trial")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    images, labels = pictures()
    networks = {
        name: [trained(name, images[INPUTS:], labels[INPUTS:], seed) for seed in range(SEEDS)]
        for name in BODIES
    }
    shown = images[:INPUTS]
    for name, several in networks.items():
        right = [float((n(shown).argmax(1) == labels[:INPUTS]).float().mean()) for n in several]
        print(f"{name}: accuracy {', '.join(f'{r:.3f}' for r in right)}", flush=True)
    faults, clean = [], []
    for kind, (plant, bodies) in FAULTS.items():
        for i in range(given.faults):
            old = networks[bodies[i % len(bodies)]][(i // len(bodies)) % SEEDS]
            planted = plant(copy.deepcopy(old), i)
            faults.append(trial(old, planted.network, shown, planted.layers) | {"kind": kind})
            if not faults[-1]["is_right"]:
                print("missed:", kind, bodies[i % len(bodies)], planted.layers,
                      {k: faults[-1][k] for k in ("level", "at")}, flush=True)  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        for kind, (convert, n) in CLEAN.items():
            for i in range(round(n * given.clean / 100)):
                old = networks[list(BODIES)[i % len(BODIES)]][(i // len(BODIES)) % SEEDS]
                new = convert(copy.deepcopy(old), Path(folder)).eval()
                clean.append(trial(old, new, shown, frozenset(), kind) | {"kind": kind})
                if clean[-1]["level"] in ("changed", "the same answers"):
                    print("false alarm:", kind, list(BODIES)[i % len(BODIES)],
                          {k: clean[-1][k] for k in ("level", "at")}, flush=True)  # fmt: skip
    if given.out:
        given.out.write_text(json.dumps({"faults": faults, "clean": clean}, default=str))
    print(f"\n{len(faults)} faults, {len(clean)} clean conversions\n\n{table(faults, clean)}\n")
    print(by_kind(faults))
    seconds = [f["seconds"] for f in [*faults, *clean]]
    print(f"\nCPU seconds of one verdict: median {np.median(seconds):.2f}")


if __name__ == "__main__":
    main()

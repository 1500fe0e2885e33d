"""Are my retrained models still the same model?

    python examples/are_my_retrained_models_still_the_same.py

A network that reads digits is in production. Two candidates to replace it: the same network
trained a little longer, and one trained anew with another random seed. All three are about equally
accurate. samemind says which inputs would turn wrong, whether that is within what you tolerate,
and whether the candidate still represents digits as the old network does.
"""

import copy

import torch
from torch import Tensor, nn

import samemind
from samemind.architectures.base import ARCHITECTURES
from samemind.statistics.swaps import swap

TOLERANCE = 0.03  # of all inputs may turn from right to wrong


def train(network: nn.Module, images: Tensor, labels: Tensor, *, epochs: int, seed: int) -> None:
    """Plain training with Adam, on batches drawn with a seed of their own."""
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.003)
    network.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(labels), generator=generator).split(64):
            optimiser.zero_grad()
            nn.functional.cross_entropy(network(images[rows]), labels[rows]).backward()
            optimiser.step()
    network.eval()


def new_network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return ARCHITECTURES["digits_resnet"].build(10, 8)


def main() -> None:
    digits = samemind.dataset("digits")
    split = {name: digits.split(name) for name in ("train", "test")}
    images, labels = (
        {name: torch.from_numpy(make(part)) for name, part in split.items()}
        for make in (lambda part: part.read(range(len(part))), lambda part: part.labels)
    )

    deployed = new_network(seed=0)
    train(deployed, images["train"], labels["train"], epochs=6, seed=0)
    continued = copy.deepcopy(deployed)
    train(continued, images["train"], labels["train"], epochs=1, seed=1)
    anew = new_network(seed=1)
    train(anew, images["train"], labels["train"], epochs=6, seed=2)

    models = {"deployed": deployed, "continued": continued, "anew": anew}
    found = samemind.compare(
        models,
        images["test"],
        measures=["agreement", "debiased_linear_cka", "knn_jaccard"],
        labels=labels["test"],
    )
    against = found.scores[found.scores["model_a"] == "deployed"]
    print(
        against[["model_b", "measure", "score", "standard_error"]].round(3).to_string(index=False)
    )

    with torch.no_grad():
        predictions = {name: m(images["test"]).argmax(1).numpy() for name, m in models.items()}
    for name in ("continued", "anew"):
        change = swap(predictions["deployed"], predictions[name], labels["test"].numpy())
        low, high = change.negative_interval
        print(
            f"\n{name}: accuracy {change.accuracy_a:.3f} → {change.accuracy_b:.3f}; "
            f"{change.negative} inputs turn wrong ({100 * low:.1f} to {100 * high:.1f} %), "
            f"{change.positive} turn right.\n"
            f"Within the tolerated {100 * TOLERANCE:g} %: {change.answer(TOLERANCE)}."
        )


if __name__ == "__main__":
    main()

"""What a study compares beside pairs of models: layers, mechanisms, and sets of models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from samemind.comparison.layers import LayerScores
from samemind.comparison.mechanisms import MechanismScores
from samemind.comparison.pairs import Scores
from samemind.comparison.sets import SetScores
from samemind.extraction.activations import Activations, LayerActivations
from samemind.inversion import Natural
from samemind.measures.mechanism import MECHANISM_MEASURES
from samemind.study.sections import Comparison


def layer_scores(cells: Sequence[Scores], asked: Comparison) -> Iterator[LayerScores]:
    """Layer by layer, for the cells and kinds of inputs that are asked for."""
    for cell in cells if asked.layers else ():
        activations = tuple(
            LayerActivations(
                checkpoint=a.checkpoint, inputs=a.inputs, layers=layers, pooling=asked.pooling
            )
            for a in cell.activations
            if (layers := asked.layers_of(a.checkpoint.architecture))
        )
        if cell.inputs in asked.layer_inputs and len({a.checkpoint for a in activations}) > 1:
            yield LayerScores(
                dataset=cell.dataset,
                epsilon=cell.epsilon,
                at=cell.at,
                activations=activations,
                layer_measure=asked.layer_measure,
                measures=asked.of_kind("pair"),
                errors=asked.errors,
                permutations=asked.permutations,
                random_seed=asked.random_seed,
            )


def mechanism_scores(cells: Sequence[Scores], asked: Comparison) -> Iterator[MechanismScores]:
    """For every cell: each model on the targets, and on what they became for the others."""
    for cell in cells:
        measures = mechanisms_on(cell.inputs, asked)
        if not measures:
            continue
        targets: dict[Activations, None] = {
            Activations(checkpoint=a.checkpoint, inputs=a.inputs.targets): None
            for a in cell.activations
            if not isinstance(a.inputs, Natural)
        }
        yield MechanismScores(
            dataset=cell.dataset,
            epsilon=cell.epsilon,
            at=cell.at,
            on_targets=tuple(targets),
            on_inverted=cell.activations,
            measures=measures,
            errors=asked.errors,
            permutations=asked.permutations,
            random_seed=asked.random_seed,
        )


def mechanisms_on(inputs: str, asked: Comparison) -> tuple[str, ...]:
    """The mechanism measures of one kind of inputs; transfer is asked for by attacking."""
    names = asked.of_kind("mechanism")
    found = tuple(name for name in names if MECHANISM_MEASURES[name].made == inputs)
    return found or (("attack_transfer",) if inputs == "adversarial" else ())


def set_scores(cells: Sequence[Scores], asked: Comparison) -> Iterator[SetScores]:
    """All models of every cell together, on each of its input sets."""
    measures = asked.of_kind("set")
    for epsilon, at in dict.fromkeys((cell.epsilon, cell.at) for cell in cells if measures):
        here = [cell for cell in cells if (cell.epsilon, cell.at) == (epsilon, at)]
        yield SetScores(
            dataset=here[0].dataset,
            epsilon=epsilon,
            at=at,
            activations=tuple(a for cell in here for a in cell.activations),
            measures=measures,
        )

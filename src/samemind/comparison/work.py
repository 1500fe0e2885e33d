"""A comparison of one's own models on its way: what is asked, and what was found so far."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import count
from numbers import Integral
from typing import Any

from samemind.comparison.differences import Differences
from samemind.comparison.drift import with_calibration, with_drift
from samemind.comparison.fidelity import Fidelity, fidelity_tables
from samemind.comparison.flips import flip_tables, replacements
from samemind.comparison.mechanisms import score_mechanisms
from samemind.comparison.pairs import accuracies_of, score_pairs
from samemind.comparison.probes import retrained_heads, score_heads
from samemind.comparison.sets import score_sets
from samemind.comparison.table import Place, as_read, tidy
from samemind.errors import InvalidInput
from samemind.lazy import pd
from samemind.measures import measure
from samemind.measures.aliases import canonical
from samemind.measures.choosing import chosen_measures, told_ties, usual_measures
from samemind.measures.kinds import of_kind
from samemind.networks.language import TextModel
from samemind.networks.model import Model
from samemind.reporting.comparison import Comparison
from samemind.results import GalleryItem
from samemind.sides.given_distances import GivenDistances
from samemind.sides.pair import Pair
from samemind.sides.side import Side
from samemind.store import environment


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is asked of some models.

    - `measures`: names of any kind; None takes the usual ones that the models allow.
    - `errors`: whether scores have standard errors. `permutations`: for floors that have no closed
      form; 0 leaves the floors out.
    - `calibrate`: scores from chance (0) to identity (1) beside the plain ones, with a p-value.
    - `extrapolate`: scores at N/4 and N/2 inputs, and whether they still move.
    - `differences`: every pair's score less every other's, with paired errors, and a ranking.
    - `layers`: 'all', or names and relative depths (0.5), compared by `layer_measure` after
      `pooling` (mean or flatten).
    - `invert`: so many inverted images of each model, `invert_steps` of descent for each.
    - `probe`: retrain heads, on half of the inputs, or on `probe_inputs`.
    - `kind`: what plain arrays hold: "representation", or of predictions "logits",
      "probabilities" or "decisions" (class numbers).
    - `join`: "exact" refuses rows whose ids differ; "inner" compares those that all have.
    - `drop_missing`: leave inputs with missing values out on all sides, instead of refusing them.
    - `tokens`: of language models, the readings: "mean", "last", "first", "model" (the encoder's
      own pooling), "words" or "all", each of all models, or one for each ("mean+last").
    - `special_tokens`: whether those that tokenizers add take part in mean, last and first.
    - `max_length`: tokens of a text that are read, where a model would read more.
    """

    measures: Sequence[str] | None = None
    errors: bool = True
    permutations: int = 20
    calibrate: bool = False
    extrapolate: bool = False
    differences: bool = False
    layers: Sequence[str | float] | str | None = None
    layer_measure: str = "debiased_linear_cka"
    pooling: str = "mean"
    invert: int = 0
    invert_steps: int = 1000
    probe: bool = False
    probe_inputs: str | None = None
    random_seed: int = 0
    kind: str = "representation"
    renamed: tuple[str, ...] = ()
    join: str = "exact"
    drop_missing: bool = False
    tokens: Sequence[Any] | str | None = None
    special_tokens: bool = True
    max_length: int | None = None

    def __post_init__(self) -> None:
        """Short names become canonical ones; what is no number or no choice is refused."""
        for field in fields(Asked):
            _check_type(field.name, field.default, getattr(self, field.name))
        if self.measures is not None:
            names = tuple(canonical(name)[0] for name in self.measures)
            object.__setattr__(self, "renamed", self._said([*self.measures, self.layer_measure]))
            object.__setattr__(self, "measures", names)
        else:
            object.__setattr__(self, "renamed", self._said([self.layer_measure]))
        object.__setattr__(self, "layer_measure", canonical(self.layer_measure)[0])

    def _said(self, names: Sequence[str]) -> tuple[str, ...]:
        # Asked anew with canonical names (by `replace`), what was said stays.
        said = [why for name in names if (why := canonical(name)[1])]
        return tuple(dict.fromkeys([*self.renamed, *said]))


def _check_type(name: str, usual: Any, given: Any) -> None:
    """Raises `InvalidInput` for a choice that is not True or False, or a count that is none."""
    if isinstance(usual, bool):
        if given not in (True, False):
            raise InvalidInput(f"{name} is {given!r}, but it is a choice. Give True or False.")
    elif isinstance(usual, int) and (
        isinstance(given, bool) or not isinstance(given, Integral) or given < 0
    ):
        raise InvalidInput(f"{name} is {given!r}. Give a whole number, 0 or more.")


#: Options of `Asked` that are of networks on images, and of language models.
OF_IMAGES = ("invert", "probe_inputs")
OF_TEXTS = ("tokens", "special_tokens", "max_length")


def refuse_options(asked: Asked, names: Iterable[str], why: str) -> None:
    """Raises `InvalidInput` for an option that was given and would change nothing.

    **Arguments:** `why`: a sentence with '{}' where the option is named.
    """
    usual = {field.name: field.default for field in fields(Asked)}
    for name in names:
        given = getattr(asked, name)
        if given != usual[name] and (given or usual[name]):
            raise InvalidInput(f"{why.format(name)} Leave it out.")


class Work:
    """A comparison on its way: of all pairs of models, or of some."""

    def __init__(
        self,
        *,
        asked: Asked,
        sides: dict[str, Side],
        name: str,
        pairs: Sequence[tuple[str, str]] | None = None,
    ) -> None:
        self.asked, self.sides, self.name, self.pairs = asked, sides, name, pairs
        #: Told of each pair that is scored: what, how many are done, of how many.
        self.watch: Callable[[str, int, int], None] | None = None
        self.notes = list(asked.renamed)
        self.notes += [f"{name}: {side.note}." for name, side in sides.items() if side.note]
        self.gallery: list[GalleryItem] = []
        self.parts: dict[str, Any] = {}
        self.class_names: Sequence[str] = ()
        self.input_classes: Sequence[str] = ()
        self.replacements = replacements(sides) if pairs is None else []
        self.fidelities: list[Fidelity] = []
        self.probe_accuracies: dict[str, float] = {}
        self.measures: list[str] = []
        self.rows: list[dict[str, Any]] = []
        self.sets: list[dict[str, Any]] = []
        # Of arrays only their names are known.
        self.known = {name: (name, name, 0) for name in sides}
        self.n_inputs = next(iter(sides.values())).n_inputs if sides else 0
        self.usual = usual_measures()

    def add_models(self, models: Sequence[Model] | Sequence[TextModel]) -> None:
        self.known = {m.name: (m.reference, m.architecture, m.n_parameters) for m in models}

    @property
    def place(self) -> Place:
        architectures = {name: known[1] for name, known in self.known.items()}
        # The names of the models in figures: architectures, or their own where two share one.
        if len(set(architectures.values())) < len(architectures):
            architectures = {name: name for name in architectures}
        return Place(
            dataset=self.name,
            epsilon=0.0,
            models={name: (architecture, 0) for name, architecture in architectures.items()},
            inputs_dataset=self.name,
            n_inputs=self.n_inputs,
        )

    @property
    def _settings(self) -> dict[str, Any]:
        return {"errors": self.asked.errors, "permutations": self.asked.permutations}

    def score(self) -> None:
        """All pairs, and all models together."""
        self.measures = chosen_measures(
            self.asked.measures, self.sides, usual=self.usual, notes=self.notes
        )
        self._add_left_out()
        place, of_pairs = self.place, of_kind("pair", self.measures)
        gathered = Differences(of_pairs) if self.asked.differences else None
        pairs = place.pairs() if self.pairs is None else list(self.pairs)
        told = self._told_of(len(pairs))

        def look(names: tuple[str, str], pair: Pair) -> None:
            if gathered is not None:
                gathered.look(names, pair)
            told()

        scored = score_pairs(self.sides, pairs, of_pairs, then=look, **self._settings)
        scored = self._further(scored, self.sides)
        self.rows += replace(place, accuracies=accuracies_of(self.sides)).placed(scored)
        if gathered is not None:
            self.parts["differences"] = gathered.table()
            self.notes += gathered.notes()
        self.notes += told_ties(self.sides, of_pairs)
        together = score_sets(self.sides, of_kind("set", self.measures))
        self.sets += [place.columns | row for row in together]

    def _told_of(self, n_pairs: int) -> Callable[[], None]:
        """Tells whoever watches that one pair more is scored."""
        done = count(1)
        if self.watch is None:
            return lambda: None
        watch = self.watch
        watch("scoring pairs", 0, n_pairs)
        return lambda: watch("scoring pairs", next(done), n_pairs)

    def score_reading(self, sides: Mapping[str, Side], reading: str) -> None:
        """All pairs under one more reading of the representations, which the rows name."""
        of_pairs = of_kind("pair", self.measures)
        chosen = [name for name in of_pairs if measure(name).reads == "representation"]
        n_inputs = next(iter(sides.values())).n_inputs
        scored = score_pairs(sides, self.place.pairs(), chosen, **self._settings)
        placed = replace(self.place, n_inputs=n_inputs).placed(self._further(scored, sides))
        self.rows += [
            row | {"layer": f"{row['layer']}, {reading}", "reading": reading} for row in placed
        ]
        self.notes += told_ties(sides, chosen)

    def _further(
        self, rows: Iterable[dict[str, Any]], sides: Mapping[str, Side]
    ) -> Iterable[dict[str, Any]]:
        if self.asked.calibrate:
            rows = with_calibration(rows, sides, random_seed=self.asked.random_seed)
        if self.asked.extrapolate:
            rows = with_drift(rows, sides, random_seed=self.asked.random_seed)
        return rows

    def _add_left_out(self) -> None:
        """A row with its reason for each measure of predictions that no pair allows."""
        if sum(side.has_logits for side in self.sides.values()) < 2 or self.asked.measures:
            return
        left = [m for m in of_kind("pair", usual_measures()) if m not in self.measures]
        of_logits = [m for m in left if measure(m).reads == "logits"]
        rows = score_pairs(self.sides, self.place.pairs(), of_logits, both_ways=False)
        self.rows += self.place.placed(rows)

    def score_inverted(
        self, owner: str, after: dict[str, Side], before: dict[str, Side] | None
    ) -> None:
        """The pairs of an owner on its inverted images, and the mechanisms where asked."""
        n_inputs = next(iter(after.values())).n_inputs
        place = replace(self.place, inverted_by=owner, n_inputs=n_inputs)
        scored = score_pairs(
            after, place.pairs(), of_kind("pair", self.measures), both_ways=False, **self._settings
        )
        self.rows += place.placed(self._further(scored, after))
        if before is not None:
            mechanisms = of_kind("mechanism", self.measures)
            scored = score_mechanisms(before, after, place.pairs(), mechanisms, **self._settings)
            self.rows += place.placed(scored)
        together = score_sets(after, of_kind("set", self.measures))
        self.sets += [place.columns | row for row in together]

    def add_flips(self, **options: Any) -> None:
        if self.replacements:
            self.parts |= flip_tables(
                self.replacements, self.sides, classes=self.class_names, **options
            )

    def add_fidelities(self, found: Sequence[Fidelity]) -> None:
        self.fidelities = list(found)
        self.parts |= fidelity_tables(found)

    def add_probes(self, training: dict[str, Side] | None = None, trained_on: str = "") -> None:
        """Heads retrained on frozen representations, beside the original ones."""
        found = retrained_heads(self.sides, training=training, random_seed=self.asked.random_seed)
        self.probe_accuracies = found.accuracies
        columns = self.place.columns
        scored = score_heads(found.original, found.probes, **self._settings)
        self.parts["probes"] = pd.DataFrame([columns | row for row in scored])
        where = f"the inputs and compared on the other {found.n_compared:,}"
        if trained_on:
            where = f"inputs of {trained_on} and compared on all {found.n_compared:,} inputs"
        accuracies = ", ".join(f"{n} {a:.4f}" for n, a in found.accuracies.items())
        self.notes.append(
            f"Heads were retrained on {found.n_training:,} "
            f"{'' if trained_on else 'of '}{where}; their accuracies: {accuracies}."
        )

    def finished(self, readings: pd.DataFrame | None = None) -> Comparison:
        n_classes = [s.n_classes for s in self.sides.values() if s.has_logits]
        if self.sets:
            self.parts["sets"] = pd.DataFrame(self.sets)
        return Comparison(
            name=f"comparison on {self.name}",
            scores=as_read(tidy(self.rows)),
            models=pd.DataFrame([self._model(name) for name in self.sides]),
            gallery=self.gallery,
            study_text=f"# samemind compare: {', '.join(self.sides)}\n# inputs: {self.name}\n",
            environment=environment.described(),
            classes={self.name: n_classes[0]} if n_classes else {},
            notes=self.notes,
            measures=self.measures,
            n_inputs=self.n_inputs,
            readings=readings,
            replacements=self.replacements,
            fidelities=self.fidelities,
            class_names=self.class_names,
            input_classes=self.input_classes,
            probe_accuracies=self.probe_accuracies,
            **self.parts,
        )

    def _model(self, name: str) -> dict[str, Any]:
        side, (reference, _, parameters) = self.sides[name], self.known[name]
        accuracy = float("nan")
        if side.has_logits and side.has_labels:
            accuracy = float((side.predictions == side.labels).double().mean())
        return {
            "model": name,
            "architecture": self.place.models[name][0],
            "parameters": parameters,
            "representation_size": _width(side),
            "classes": side.n_classes if side.has_logits else None,
            "clean_accuracy": accuracy,
            "reference": reference,
            "dataset": self.name,
            "epsilon": 0.0,
            "random_seed": 0,
            "adversarial_accuracy": float("nan"),
            "attack_epsilon": float("nan"),
            "attack": None,
            "n_test": self.n_inputs,
            "is_weak": False,
        }


def _width(side: Side) -> int:
    """The width of a representation; 0 where there is none, or only distances are known."""
    if not side.has_representation or isinstance(side, GivenDistances):
        return 0
    return side.n_units

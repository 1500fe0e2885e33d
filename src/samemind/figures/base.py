"""What a figure is, and the results it is drawn from.

A figure is a pure function from `Results` to a matplotlib figure, with its title, what it shows
and what it needs as data beside it, so that `samemind list figures` and a report can say why a
figure is not there. Nothing here imports matplotlib or pandas before a figure is drawn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from samemind.errors import InvalidInput
from samemind.figures.needs import NEEDS, NEEDS_ANOTHER_STUDY
from samemind.figures.style import dataset_label
from samemind.measures.conventions import RECOMMENDED, reading_of, said
from samemind.registry import Registry
from samemind.results import (
    PAIR_COLUMNS,
    SET_COLUMNS,
    Contributions,
    GalleryItem,
    Results,
    pair_keys,
)

if TYPE_CHECKING:
    import matplotlib.figure

__all__ = [
    "FIGURES",
    "PAIR_COLUMNS",
    "SET_COLUMNS",
    "Contributions",
    "Figure",
    "GalleryItem",
    "Results",
    "figure",
    "pair_keys",
    "weak_note",
]

PerMeasure = Literal["", "also", "only"]
Draw = Callable[[Results], "matplotlib.figure.Figure"]

MOST_NAMED = 4  # weak models, in a note


def weak_note(results: Results, datasets: Iterable[str] | None = None) -> str:
    """What a table or figure says where some of its models are weak; else nothing.

    **Arguments:** `datasets`: those of the models that it shows; default: all.
    """
    weak = _shown(results, results.weak_models, datasets)
    if not weak:
        return ""
    if results.models["dataset"].nunique() > 1:
        return f"Includes weak models: {_counted(results, weak)}."
    stated = [f"{100 * value:.3g} %" for value in results.weak_below.values()]
    below = f" (clean accuracy below {', '.join(stated)})" if stated else ""
    return f"Includes weak models{below}: {_named(weak)}."


def imported_note(results: Results, datasets: Iterable[str] | None = None) -> str:
    """What a figure says where some of its models were imported; else nothing."""
    imported = _shown(results, results.imported_models, datasets)
    if not imported:
        return ""
    if len(imported) == len(results.models):
        return "All models were imported."
    several = results.models["dataset"].nunique() > 1
    named = _counted(results, imported) if several else _named(imported)
    return f"Imported, not trained here (†): {named}."


def _shown(
    results: Results, models: frozenset[tuple[str, str]], datasets: Iterable[str] | None
) -> set[tuple[str, str]]:
    """Those of the models that some pair has; all of them where there are no pairs."""
    pairs = results.scores
    if datasets is not None:
        kept = set(datasets)
        models = frozenset(model for model in models if model[0] in kept)
    if not models or not len(pairs):
        return set(models)
    return set(models) & {
        *zip(pairs["dataset"], pairs["model_a"], strict=True),
        *zip(pairs["dataset"], pairs["model_b"], strict=True),
    }


def _counted(results: Results, models: Iterable[tuple[str, str]]) -> str:
    """How many of which dataset, and below which accuracy, as the same names return in each."""
    among, limits = Counter(dataset for dataset, _ in models), results.weak_below
    parts = []
    for dataset, total in results.models["dataset"].value_counts(sort=False).items():
        if n := among[str(dataset)]:
            below = f", below {100 * limits[str(dataset)]:.3g} %" if str(dataset) in limits else ""
            parts.append(f"{n} of {total} of {dataset_label(str(dataset))}{below}")
    return "; ".join(parts)


def _named(models: Iterable[tuple[str, str]]) -> str:
    names = sorted(name for _, name in models)
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"{', '.join(names[:MOST_NAMED])}{more}"


@dataclass(frozen=True)
class Figure:
    """A figure of the report: how to draw it, what it shows and what it needs.

    - `paper`: the figure of the paper that it is the like of, if any.
    - `studies`: what the command that draws it names: the studies of the paper's own figure, where
      it needs several; else STUDY.
    - `is_by_epsilon`: it shows something over ε, so that the variant with the models present at
      every ε says something else whenever the models change.
    - `per_measure`: "also" for a figure of all measures that is drawn once for each as well,
      "only" for one that shows a single measure.
    - `is_of_study`: it is about models that were trained at some ε, so that the page on one's own
      models does without it.
    - `shows_along`: what it shows in a study along another axis than ε, where the word "ε" of
      `shows` cannot stand for that axis.
    - `quantities`: "jsd", "cka" and "procrustes" as far as it shows the reading of each that the
      convention picks; its caption says which.
    - `datasets`: those of the models that it shows, where these are not all that the results have.
    """

    name: str
    title: str
    shows: str
    draw: Draw
    needs: tuple[str, ...] = ()
    paper: str = ""
    studies: str = "STUDY"
    is_by_epsilon: bool = False
    per_measure: PerMeasure = ""
    quantities: tuple[str, ...] = ()
    is_of_study: bool = False
    datasets: Callable[[Results], Iterable[str]] | None = None
    shows_along: str = ""

    def missing(self, results: Results) -> list[str]:
        """What the results lack for this figure, in words; empty when it can be drawn."""
        if results.trajectory is not None and "trajectory" not in self.needs:
            return ["the models are checkpoints of one training, which are no sample of models"]
        told = results.axis.told
        return [told(NEEDS[need][1]) for need in self.needs if not NEEDS[need][0](results)]

    def __call__(self, results: Results) -> matplotlib.figure.Figure:
        """The figure, drawn in the house style.

        **Raises:** `InvalidInput` when the results lack what the figure needs, or hold several
        measures where it shows one.
        """
        missing = self.missing(results)
        if missing:
            raise InvalidInput(
                f"The figure '{self.name}' cannot be drawn from '{results.name}': "
                f"{'; '.join(missing)}. {self.remedy(results)}"
            )
        if self.per_measure == "only":
            self._check_one_measure(results)
        from samemind.figures.style import house_style, note_above

        with house_style():
            drawing = self.draw(results)
            _retell(drawing, results)
            shown = None if self.datasets is None else self.datasets(results)
            note = f"{weak_note(results, shown)} {imported_note(results, shown)}".strip()
            if results.convention != RECOMMENDED:
                note = f"{self.readings(results)} {note}".strip()
            if note:
                note_above(drawing, note)
            return drawing

    def readings(self, results: Results) -> str:
        """Which readings of CKA, Procrustes and JSD it shows, as a sentence; '' for none."""
        held = results.defined["measure"].unique()
        return said(
            [reading_of(q, held, results.convention) for q in self.quantities], results.convention
        )

    def caption(self, results: Results) -> str:
        """What it shows, and in which readings."""
        shows = self.shows
        if not results.axis.is_epsilon:
            shows = results.axis.told(self.shows_along or self.shows)
        return f"{shows} {self.readings(results)}".rstrip()

    def remedy(self, results: Results) -> str:
        """What to do where the results lack something."""
        lacking = [need for need in self.needs if not NEEDS[need][0](results)]
        if any(need in NEEDS_ANOTHER_STUDY for need in lacking):
            return f"Name the studies that it is drawn from: `{self.command}`."
        return "Add that to the study and run it again."

    @property
    def command(self) -> str:
        """The command that draws it: for a figure of the paper from the paper's own studies."""
        return f"samemind figure {self.name} {self.studies}"

    def _check_one_measure(self, results: Results) -> None:
        measures = [str(name) for name in results.defined["measure"].unique()]
        if len(measures) > 1:
            raise InvalidInput(
                f"The figure '{self.name}' shows one measure, and '{results.name}' has "
                f"{len(measures)}: {', '.join(measures)}. Choose one: "
                f'`results.only(measure="{measures[0]}")`, or `samemind figure {self.name} STUDY '
                f"--measure {measures[0]}`."
            )


def _retell(drawing: matplotlib.figure.Figure, results: Results) -> None:
    """Puts the words of the axis where figures, which are written for ε, say ε."""
    if results.axis.is_epsilon:
        return
    from matplotlib.text import Annotation, Text

    for text in drawing.findobj(Text):
        assert isinstance(text, Text)
        words = text.get_text()
        if "ε" in words:
            # Beside the numbers of an axis there is room for a letter or two.
            is_small = words == "ε" and isinstance(text, Annotation)
            text.set_text(results.axis.symbol if is_small else results.axis.told(words))


FIGURES: Registry[Figure] = Registry("figure", "samemind.figures")


def figure(
    name: str,
    title: str,
    *,
    shows: str,
    needs: Sequence[str] = (),
    paper: str = "",
    studies: str = "STUDY",
    is_by_epsilon: bool = False,
    per_measure: PerMeasure = "",
    quantities: Sequence[str] = (),
    is_of_study: bool = False,
    datasets: Callable[[Results], Iterable[str]] | None = None,
    shows_along: str = "",
) -> Callable[[Draw], Figure]:
    """Registers the function below as a figure. `shows` is also its text for who cannot see it."""
    unknown = [need for need in needs if need not in NEEDS]
    if unknown:
        raise InvalidInput(
            f"The figure '{name}' needs {', '.join(unknown)}, which nothing can tell. "
            f"Known needs: {', '.join(sorted(NEEDS))}."
        )

    def register(draw: Draw) -> Figure:
        member = Figure(
            name,
            title,
            shows,
            draw,
            tuple(needs),
            paper,
            studies,
            is_by_epsilon,
            per_measure,
            tuple(quantities),
            is_of_study,
            datasets,
            shows_along,
        )
        return FIGURES.register(name, member)

    return register

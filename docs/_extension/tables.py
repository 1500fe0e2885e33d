"""The tables of the documentation that are made from declarations.

`python docs/_extension/tables.py` writes them, and a test holds that what is committed is current.
"""

import sys
from pathlib import Path

from samemind.figures.base import FIGURES
from samemind.measures import choosing
from samemind.measures.base import MEASURES, Measure
from samemind.measures.mechanism import MECHANISM_MEASURES
from samemind.measures.of_sets import SET_MEASURES
from samemind.reporting.model_tables import TABLES as PAPER_TABLES
from samemind.study import read_study
from samemind.training import Schedule, preset_of

DOCS = Path(__file__).parents[1]


def number(bound: float) -> str:
    return {float("inf"): "∞", float("-inf"): "−∞"}.get(bound, f"{bound:.4g}")


def measures() -> str:
    """Every measure with its promises."""
    lines = [
        "| measure | reads | family | range | identical | alike is | changes nothing | "
        "standard error | reference |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for m in sorted(MEASURES.values(), key=lambda m: (m.reads, m.family, m.name)):
        low, high = (number(b) for b in m.bounds)
        alike = "large" if m.larger_is_more_similar else "small"
        same = ", ".join(sorted(i.value for i in m.invariances)) or "–"
        identical = "–" if m.identical is None else f"{m.identical:g}"
        lines.append(
            f"| `{m.name}` | {m.reads} | {m.family} | {low} … {high} | {identical} | {alike} | "
            f"{same} | {standard_error(m)} | {m.reference} |"
        )
    return "\n".join(lines) + "\n"


def standard_error(m: Measure) -> str:
    """Where a measure's standard error comes from."""
    if m.influence_of_inputs is not None:
        return "influence of each input"
    if m.per_input is not None:
        return "mean over inputs"
    return f"on request, by leaving out groups: {m.no_standard_error}"


def what_measures_see() -> str:
    """What the measures that most people use see, and what they cannot see."""
    lines = ["| measure | of | sees | cannot see |", "| --- | --- | --- | --- |"]
    # In the order of a network read from its end: predictions first.
    chosen = [m for m in MEASURES.values() if m.sees]
    for m in sorted(chosen, key=lambda m: (m.reads != "logits", m.family == "neighbours", m.name)):
        of = "predictions" if m.reads == "logits" else "representations"
        lines.append(f"| `{m.name}` | {of} | {m.sees} | {m.cannot_see} |")
    lines.append(
        "| any of them on inverted images | mechanism | whether two models use the same features: "
        "one model's inverted images look like the targets to it alone, unless the other reads "
        "them in the same way | causes that do not show at the compared layer |"
    )
    return "\n".join(lines) + "\n"


def streamed_measures() -> str:
    """The measures for which rows can be read in chunks."""
    return ", ".join(f"`{name}`" for name in sorted(choosing.streamed_measures())) + ".\n"


def set_measures() -> str:
    """Every measure of a set of models."""
    lines = [
        "| measure | gives | range | alike is | reference |",
        "| --- | --- | --- | --- | --- |",
    ]
    for m in SET_MEASURES.values():
        low, high = (number(b) for b in m.bounds)
        alike = "large" if m.larger_is_more_similar else "small"
        lines.append(f"| `{m.name}` | {m.summary} | {low} … {high} | {alike} | {m.reference} |")
    return "\n".join(lines) + "\n"


def mechanism_measures() -> str:
    """Every measure of mechanisms."""
    lines = ["| measure | gives | reference |", "| --- | --- | --- |"]
    for m in MECHANISM_MEASURES.values():
        at = f", `{m.name}@MEASURE`" if m.inner else ""
        lines.append(f"| `{m.name}`{at} | {m.summary} | {m.reference} |")
    return "\n".join(lines) + "\n"


def figures() -> str:
    """Every figure of the paper with the command that draws its like."""
    lines = ["| paper | figure | shows | command |", "| --- | --- | --- | --- |"]
    order = sorted(FIGURES.values(), key=lambda f: (not f.paper, f.paper, f.name))
    for f in order:
        lines.append(f"| {f.paper or '–'} | {f.title} | {f.shows} | `{f.command}` |")
    return "\n".join(lines) + "\n"


def row_of_the_paper(cells: tuple[str, str, str, str]) -> str:
    return f"| {' | '.join(cells)} |"


def measures_here(*names: str) -> str:
    """Names of measures as code; each must be one."""
    return ", ".join(f"`{MEASURES[name].name}`" for name in names)


def paper() -> str:
    """Every equation, figure, table and training detail of the paper, and where it is here."""
    rows = [*equations(), *paper_tables(), *paper_figures(), *training_details()]
    head = "| the paper | here | command | what differs, and why |\n| --- | --- | --- | --- |\n"
    return head + "\n".join(map(row_of_the_paper, rows)) + "\n"


def equations() -> list[tuple[str, str, str, str]]:
    """Equations 1 to 7."""
    list_measures, run = "`samemind list measures`", "`samemind run STUDY`"
    return [
        ("Equation 1, attacks", "`samemind.attacks`", run, "nothing: L2 balls in pixels of [0, 1]"),
        ("Equation 2, JSD", measures_here("jensen_shannon_similarity", "jeffreys_similarity"),
         list_measures, "the figures' JSDSim is Jensen–Shannon through the mixture; the printed "
         "formula cannot be scaled to [0, 1]; `convention` picks"),
        ("Equation 3, agreement", measures_here("agreement"), list_measures, "nothing"),
        ("Equation 4, CKA", measures_here("linear_cka", "debiased_linear_cka"), list_measures,
         "figures and verdict take the debiased estimator, which the authors ran, unless "
         "`convention` says otherwise"),
        ("Equation 5, Procrustes",
         measures_here("procrustes_similarity", "procrustes_similarity_root"), list_measures,
         "the figures' one is of the squared distance, which the authors ran; the root is printed; "
         "`convention` picks"),
        ("Equation 6, Jaccard", measures_here("knn_jaccard"), list_measures,
         "an input is not its own neighbour; the authors set that similarity to 0 instead"),
        ("Equation 7, inversion", "`samemind.inversion`", run,
         "1000 steps, as the authors ran; the text says three"),
    ]  # fmt: skip


def paper_tables() -> list[tuple[str, str, str, str]]:
    """Tables 1 to 4: the accuracies of a report on the study of that name."""
    differs = {
        "imagenet1k": "all models are trained alike; those of Salman et al. can be imported and "
        "are then marked",
        "cifar10": "seven networks; three keep the stem of ImageNet, as the authors built them",
    }
    return [
        (f"Table {number}", f"`tables/accuracies-{study}.csv` and `.tex`",
         f"`samemind report {study}`", differs.get(study, "nothing"))
        for study, number in PAPER_TABLES.items()
    ]  # fmt: skip


def paper_figures() -> list[tuple[str, str, str, str]]:
    differs = {
        "Figure 1": "dashes of the bounds for every pair, and floors",
        "Figure 2": "images chosen by rule instead of by hand",
        "Figure 6": "in-distribution boxes stand beside the others; SAT-6 at the models' size",
    }
    members = sorted((f for f in FIGURES.values() if f.paper), key=lambda f: f.paper)
    return [
        (f.paper, f.title, f"`{f.command}`", differs.get(f.paper, "floors are drawn"))
        for f in members
    ]


def training_details() -> list[tuple[str, str, str, str]]:
    """Appendix A, as the preset `paper` and the studies have it."""
    schedule = Schedule(**preset_of("paper", image_size=224, family="resnet"))
    small = Schedule(**preset_of("paper", image_size=32, family="resnet"))
    attack = read_study("imagenet1k").attack
    same = "nothing"
    return [
        ("A.1, epochs and rate",
         f"{schedule.epochs} epochs from {schedule.learning_rate:g}, a tenth every "
         f"{schedule.step_epochs}", "`samemind plan imagenet1k`", same),
        ("A.1, SGD", f"batches of {schedule.batch_size}, momentum {schedule.momentum:g}, weight "
         f"decay {schedule.weight_decay:g}", "`samemind plan imagenet1k`", same),
        ("A.1, attack", f"{attack.steps} steps of {attack.relative_step:.3g} ε, "
         f"{'a' if attack.random_start else 'no'} random start", "`samemind plan imagenet1k`",
         same),
        ("A.1 and A.2, targets", "10,000 images, of training for ImageNet-100 and -50",
         "`samemind plan imagenet100`", "seeds of another class are drawn once for all models"),
        ("A.3, ImageNet-50", "60 epochs and the exceptions, in the study",
         "`samemind plan imagenet50`", same),
        ("A.4, CIFAR-10", f"weight decay {small.weight_decay:g}, all test images",
         "`samemind plan cifar10`",
         "the text says so of standard training; here of robust training too"),
        ("Appendix B", "k = 10, 100, 500", "`samemind list measures`", "see Figure 7"),
        ("Appendix C, cost", "passes, bytes and, with a probe, hours",
         "`samemind plan imagenet1k`", "depends on the machine"),
        ("Footnote 1, metadata", "what files of imported checkpoints say, and contradictions",
         "`samemind report imagenet1k`", "the paper only mentions it"),
    ]  # fmt: skip


TABLES = {
    "paper-table.md": paper,
    "measures-table.md": measures,
    "set-measures-table.md": set_measures,
    "mechanism-measures-table.md": mechanism_measures,
    "figures-table.md": figures,
    "measures-see-table.md": what_measures_see,
    "streamed-measures-table.md": streamed_measures,
}
README = DOCS.parent / "README.md"
BEGIN, END = "<!-- made by make tables -->", "<!-- end -->"


def readme() -> str:
    """README.md with its table of what measures see made anew."""
    before, begin, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    return f"{before}{begin}\n\n{what_measures_see()}\n{end}{after}"


def write() -> None:
    for name, make in TABLES.items():
        (DOCS / name).write_text(make(), encoding="utf-8")
    README.write_text(readme(), encoding="utf-8")


if __name__ == "__main__":
    sys.path.insert(0, str(DOCS.parent / "src"))
    write()

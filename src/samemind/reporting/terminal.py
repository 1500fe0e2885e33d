"""A comparison in the terminal and in a notebook, and its progress."""

from __future__ import annotations

import html
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from samemind.lazy import draws_put_back, pd
from samemind.measures.kinds import of_kind
from samemind.printing import Columns, Terminal
from samemind.reporting.along import show_along
from samemind.reporting.layer_maps import Map, maps_of, summary_of
from samemind.reporting.ranking import ranking
from samemind.statistics.bounds import agreement_bounds
from samemind.statistics.swaps import LOST, POWER, WON

with draws_put_back():
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.text import Text

if TYPE_CHECKING:
    from samemind.comparison.fidelity import Fidelity
    from samemind.comparison.flips import Replacement
    from samemind.extraction.looking import Watch
    from samemind.reporting.comparison import Comparison

#: Up to so many pairs, each measure of each pair has its own line with error and floor.
FEW_PAIRS = 3
#: Colours beside the words; NO_COLOR leaves the words.
ANSWER_STYLES = {"yes": "green", "no": "red", "undecided": "yellow"}
CLASSES_SHOWN = 8
#: Maps of layers up to this size are printed whole.
MOST_COLUMNS, MOST_ROWS = 10, 24
FLIPS_SHOWN = 5  # per direction


def show(found: Comparison, console: Console, *, tolerance: float) -> None:
    """Prints models, scores and, with labels, the answer to "can I swap A for B?".

    Of checkpoints along one training, what became of them.
    """
    if found.trajectory is not None:
        return show_along(found, console)
    n_models, inputs = len(found.models), found.models["dataset"].iloc[0]
    console.print(f"{n_models} models on {found.n_inputs:,} inputs of {inputs}\n")
    console.print(_models(found))
    is_mechanism = found.scores["measure"].isin(of_kind("mechanism", found.measures))
    natural = found.scores[found.scores["inputs"] == "natural"]
    inverted = found.scores[(found.scores["inputs"] == "inverted") & ~is_mechanism]
    first = natural if len(natural) else found.scores
    is_few = first[["model_a", "model_b"]].drop_duplicates().shape[0] <= FEW_PAIRS
    for title, rows in [
        ("", natural),
        ("\nOn inverted images, both models on those of the first:", inverted),
        (
            "\nThe second model on images, and on the first one's inverted images of them:",
            found.scores[is_mechanism],
        ),
    ]:
        if len(rows):
            console.print(title)
            console.print(_detailed(rows) if is_few else _wide(rows))
            if (beyond := _beyond(rows)) is not None:
                console.print("\nAgainst chance, and with other numbers of inputs:")
                console.print(beyond)
    if found.differences is not None and len(found.differences):
        console.print("\nRanking of pairs; those that share a letter are not told apart (Holm):")
        console.print(_ranking(found.scores, found.differences))
    if found.sets is not None:
        console.print("\nAll models together:")
        console.print(_sets(found.sets))
    if found.probes is not None:
        console.print("\nHeads retrained on frozen representations, beside the original ones:")
        console.print(_probes(found))
        console.print(_ceiling_of_probes(found.probes))
    if found.next_tokens is not None:
        console.print("\nWhat comes next, per token:")
        console.print(_next_tokens(found.next_tokens))
    if found.layers is not None:
        console.print()
        _show_layers(found.layers, console)
    for one in found.fidelities:
        _show_fidelity(one, console)
    if len(found.replacements) == 1:
        _show_swap(found.replacements[0], found, console, tolerance)
    elif found.replacements:
        console.print(f"\nCan one take the place of {found.replacements[0].a}?", style="bold")
        console.print(_swaps(found, tolerance))
        console.print(
            f"right to wrong: share of inputs with its 95 % interval; answers at "
            f"{100 * tolerance:g} % (--tolerance); --out and --json have classes and inputs."
        )
    if note := several_swaps(len(found.replacements)):
        console.print(f"\n{note}")
    for row in _undefined(found.scores):
        pair = f"{row['model_a']} and {row['model_b']}"
        console.print(f"Undefined: {row['measure']} of {pair}: {row['reason']}")
    for row in [] if found.sets is None else _undefined(found.sets):
        together = f"{row['measure']} of all models on {_where(row)}"
        console.print(f"Undefined: {together}: {row['reason']}")
    for note in found.notes:
        console.print(f"Note: {note}")


def _undefined(table: pd.DataFrame) -> list[dict[Any, Any]]:
    return table[table["reason"].notna()].to_dict("records")


def _where(row: Mapping[Any, Any]) -> str:
    is_inverted = row["inputs"] == "inverted"
    return f"inverted images of {row['inverted_by']}" if is_inverted else "the inputs"


def _table(*columns: str, left: int = 1) -> Columns:
    return Columns(*columns, left=left)


def _number(value: object, form: str = ".4f") -> str:
    return "–" if value is None or value != value else format(value, form)


def _models(found: Comparison) -> Columns:
    table = _table("model", "architecture", "parameters", "units", "classes", "accuracy", left=2)
    for m in found.models.to_dict("records"):
        table.add_row(
            m["model"], m["architecture"], _number(m["parameters"] or None, ",.0f"),
            _number(m["representation_size"] or None, ",.0f"), _number(m["classes"], ",.0f"),
            _number(m["clean_accuracy"]),
        )  # fmt: skip
    return table


#: What is shown of a score where it was asked for, by its column.
_BEYOND = {
    "calibrated": "calibrated",
    "p_value": "p",
    "score_quarter": "at N/4",
    "score_half": "at N/2",
    "limit": "limit",
    "is_moving": "moving",
}


def _detailed(scores: pd.DataFrame) -> Columns:
    heads = ("score", "± s.e.", "95 % interval", "floor", "its 95 %")
    return _by_pair(scores, heads, lambda row: (
        _number(row["score"]), _number(row["standard_error"]), _interval(row),
        _number(row["floor"]), _number(row["floor_p95"]),
    ))  # fmt: skip


def _beyond(scores: pd.DataFrame) -> Columns | None:
    """What was asked for beside scores: against chance, and with more inputs."""
    columns = [column for column in _BEYOND if column in scores]
    if not columns:
        return None
    heads = [_BEYOND[column] for column in columns]
    return _by_pair(scores, heads, lambda row: [_told(row[column]) for column in columns])


def _by_pair(
    scores: pd.DataFrame,
    heads: Sequence[str],
    cells: Callable[[Mapping[Any, Any]], Sequence[str]],
) -> Columns:
    table = _table("pair and measure", *heads)
    last = None
    for row in scores.to_dict("records"):
        pair = f"{row['model_a']} – {row['model_b']}"
        if row.get("reading"):
            pair += f", read as {row['reading']}"
        if pair != last:
            table.add_row(pair, style="bold")
        last = pair
        table.add_row(f"  {row['measure']}", *cells(row))
    return table


def _interval(row: Mapping[Any, Any]) -> str:
    low, high = row.get("lower"), row.get("upper")
    return "–" if low is None or low != low else f"{_number(low)} … {_number(high)}"


def _told(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return _number(value)


def _wide(scores: pd.DataFrame) -> Columns:
    if "reading" in scores:  # of several readings the first, which is that of figures
        first = next((reading for reading in scores["reading"] if reading), "")
        scores = scores[scores["reading"].isin(["", first])]
    measures = list(dict.fromkeys(scores["measure"]))
    table = _table("model", "and", *(m.replace("_", " ") for m in measures), left=2)
    by_pair = scores.pivot_table(
        index=["model_a", "model_b"], columns="measure", values="score", sort=False
    )
    for (a, b), row in by_pair.iterrows():  # pyright: ignore[reportGeneralTypeIssues]
        table.add_row(str(a), str(b), *(_number(row.get(m)) for m in measures))
    floors = scores.groupby("measure")["floor"].mean()
    table.add_row("mean floor", "", *(_number(floors.get(m)) for m in measures), style="dim")
    return table


def _ranking(scores: pd.DataFrame, differences: pd.DataFrame) -> Columns:
    table = _table("pair and measure", "score", "± s.e.", "group")
    last = None
    for row in ranking(scores, differences).to_dict("records"):
        if row["measure"] != last:
            table.add_row(row["measure"], style="bold")
        last = row["measure"]
        table.add_row(
            f"  {row['model_a']} – {row['model_b']}",
            *(_number(row[c]) for c in ("score", "standard_error")), row["groups"],
        )  # fmt: skip
    return table


def _sets(sets: pd.DataFrame) -> Columns:
    """A line per inputs, a column per measure: a set has neither errors nor a floor."""
    measures = list(dict.fromkeys(sets["measure"]))
    table = _table("on", "models", "inputs", *(m.replace("_", " ") for m in measures))
    lines: dict[str, dict[str, Any]] = {}
    for row in sets.to_dict("records"):
        lines.setdefault(_where(row), {})[row["measure"]] = row
    for where, by_measure in lines.items():
        (any_row, *_), scores = by_measure.values(), [by_measure[m]["score"] for m in measures]
        table.add_row(
            where, _number(any_row["n_models"], ",d"), _number(any_row["n_inputs"], ",d"),
            *map(_number, scores),
        )  # fmt: skip
    return table


def _probes(found: Comparison) -> Columns:
    table = _table("pair", "measure", "original", "retrained", left=2)
    assert found.probes is not None
    keys = ["model_a", "model_b", "measure"]
    of_pairs = found.probes[found.probes["heads"].isin(["original", "probe"])]
    wide = of_pairs.pivot_table(index=keys, columns="heads", values="score", sort=False)
    for (a, b, name), row in wide.iterrows():  # pyright: ignore[reportGeneralTypeIssues]
        heads = (_number(row.get(kind)) for kind in ("original", "probe"))
        table.add_row(f"{a} – {b}", str(name), *heads)
    return table


def _next_tokens(said: pd.DataFrame) -> Columns:
    table = _table("pair", "tokens", "KL of b from a", "of a from b", "perplexity a", "b")
    for row in said.to_dict("records"):
        table.add_row(
            f"{row['model_a']} – {row['model_b']}", _number(row["tokens"], ",d"),
            _number(row["kl_ab"]), _number(row["kl_ba"]),
            _number(row["perplexity_a"], ".2f"), _number(row["perplexity_b"], ".2f"),
        )  # fmt: skip
    return table


def _ceiling_of_probes(probes: pd.DataFrame) -> str:
    """What two heads retrained on one representation agree on, and each with the original one."""
    agreement = probes[probes["measure"] == "agreement"].groupby("heads")["score"].mean()
    two, own = (_number(agreement.get(heads)) for heads in ("same representation", "own head"))
    return f"Two heads on the same representation agree on {two}, each with its own head on {own}."


def _show_layers(layers: pd.DataFrame, console: Console) -> None:
    """A line per map, and of few and small ones the map itself."""
    found = summary_of(layers)
    has_chance = "p in map" in found and bool(found["p in map"].notna().any())
    heads = ["pair", "layers", "most alike", "score"]
    heads += ["± s.e.", "p in map", "path", "p"] if has_chance else []
    table = _table(*heads, left=3)
    for row in found.to_dict("records"):
        of = f", {row['of']}" if "of" in row else ""
        cells = [f"{row['pair']}{of}", row["layers"], row["most alike"], _number(row["score"])]
        if has_chance:
            cells += [
                _number(row["standard error"]), _number(row["p in map"], ".3f"),
                _number(row["path"]), _number(row["p of path"], ".3f"),
            ]  # fmt: skip
        table.add_row(*cells)
    console.print(table)
    if not has_chance:
        return
    if len(found) > FEW_PAIRS:
        return
    for one in maps_of(layers):
        if len(one.columns) <= MOST_COLUMNS and len(one.rows) <= MOST_ROWS:
            _show_map(one, console)


def _show_map(one: Map, console: Console) -> None:
    a, b = one.place[-2:]
    console.print(
        f"\n{a} (rows) and {b} (columns): dim within the floor, * known to be the best of its row, "
        "~ not told apart from the best"
    )
    names = ", ".join(f"{i} {name}" for i, name in enumerate(one.columns, 1))
    console.print(f"columns: {names}", style="dim")
    table = _table("", *(str(i) for i in range(1, len(one.columns) + 1)))
    for i, row in enumerate(one.rows):
        cells = []
        for j, score in enumerate(one.scores[i]):
            mark = "*" if one.is_best[i, j] else "~" if one.is_tied[i, j] else " "
            style = "dim" if one.is_chance[i, j] else "bold" if one.is_best[i, j] else ""
            cells.append(Text(f"{_number(score, '.2f')}{mark}", style=style))
        table.add_row(row, *cells)
    console.print(table)


def _show_fidelity(found: Fidelity, console: Console) -> None:
    console.print(f"\nIs {found.b} still the same network as {found.a}?", style="bold")
    for sentence in found.sentences:
        console.print(f"  {sentence}")


def _show_swap(r: Replacement, found: Comparison, console: Console, tolerance: float) -> None:
    s = r.swap
    low, high = (100 * end for end in s.negative_interval)
    console.print(f"\nCan {r.b} take the place of {r.a}?", style="bold")
    console.print(
        f"  accuracy {s.accuracy_a:.4f} → {s.accuracy_b:.4f}: {s.accuracy_answer} (McNemar's exact "
        f"test decides, p = {s.p_value:.2g}); a change of {s.gain:+.4f} (about "
        f"{s.gain_interval[0]:+.4f} to {s.gain_interval[1]:+.4f} with 95 % confidence)"
    )
    console.print(
        f"  {s.negative:,} inputs turn from right to wrong: {100 * s.negative_share:.2f} % "
        f"(exact 95 % interval {low:.2f} to {high:.2f} %)"
    )
    _show_flips(r, found, console, LOST)
    console.print(f"  {s.positive:,} turn from wrong to right; {s.churn:,} predictions change")
    _show_flips(r, found, console, WON)
    n_classes = int(found.models.set_index("model").loc[r.a, "classes"])  # pyright: ignore[reportArgumentType]
    bounds = agreement_bounds(s.accuracy_a, s.accuracy_b, n_classes)
    console.print(
        f"  agreement {1 - s.churn / s.n_inputs:.4f}; these accuracies allow "
        f"{bounds.hard[0]:.4f} to {bounds.hard[1]:.4f} (independent mistakes: "
        f"{_number(bounds.fort[0])})"
    )
    if s.per_class:
        shown = ", ".join(
            f"{found.class_names[c.label] if found.class_names else c.label} "
            f"−{c.negative} +{c.positive} of {c.n_inputs}"
            for c in s.per_class[:CLASSES_SHOWN]
        )
        more = len(s.per_class) - CLASSES_SHOWN
        console.print(f"  by class: {shown}{f', and {more} more' if more > 0 else ''}")
    console.print(f"  {verdict(r, tolerance)}", style=ANSWER_STYLES[s.answer(tolerance)])


def _swaps(found: Comparison, tolerance: float) -> Columns:
    """A line for each model that could take the place of the first one."""
    table = _table("model", "accuracy", "change", "right to wrong", "wrong to right", "answer")
    for r in found.replacements:
        s, answer = r.swap, r.swap.answer(tolerance)
        low, high = (100 * end for end in s.negative_interval)
        table.add_row(
            r.b, _number(s.accuracy_b), f"{s.gain:+.4f}",
            f"{100 * s.negative_share:.2f} % ({low:.2f} … {high:.2f})",
            f"{100 * s.positive / s.n_inputs:.2f} %", Text(answer, style=ANSWER_STYLES[answer]),
        )  # fmt: skip
    return table


def _show_flips(r: Replacement, found: Comparison, console: Console, direction: str) -> None:
    """The first inputs that turn in one direction, and how many more there are."""
    assert found.flips is not None
    table = found.flips
    is_meant = (table["model_a"] == r.a) & (table["model_b"] == r.b)
    rows = table[is_meant & (table["direction"] == direction)].to_dict("records")
    for row in rows[:FLIPS_SHOWN]:
        console.print(
            f"    {row['name']} is {row['label']}: {row['prediction_a']} → {row['prediction_b']}",
            markup=False,
        )
    if len(rows) > FLIPS_SHOWN:
        console.print(f"    and {len(rows) - FLIPS_SHOWN:,} more (--out or --json lists all)")


def verdict(replacement: Replacement, tolerance: float) -> str:
    """One sentence: may B take the place of A, if a share `tolerance` may turn wrong?"""
    s, limit = replacement.swap, f"{100 * tolerance:g} %"
    answer = s.answer(tolerance)
    if answer == "yes":
        return f"Yes: with 95 % confidence no more than {limit} of inputs turn from right to wrong."
    if answer == "no":
        return f"No: with 95 % confidence more than {limit} of inputs turn from right to wrong."
    needed = s.inputs_needed(tolerance)
    more = (
        f" About {needed:,} inputs would tell in {100 * POWER:.0f} % of samples, at this rate."
        if needed
        else ""
    )
    return f"Undecided: the interval holds the tolerated {limit} (--tolerance).{more}"


def several_swaps(n_answers: int) -> str:
    """What must be said of several answers beside one another; nothing of one."""
    if n_answers < 2:
        return ""
    return (
        f"Each of these {n_answers} answers stands for itself: a yes or a no is wrong in at most "
        f"2.5 % of samples, so that one of them or more is in up to {2.5 * n_answers:g} %."
    )


# -- in a notebook


def as_html(found: Comparison) -> str:
    """The comparison for a notebook: what it is of, models, scores and notes as tables."""
    shown = ["model_a", "model_b", "inputs", "measure", "score", "standard_error", "floor",
             "reason"]  # fmt: skip
    scores = found.scores[[c for c in shown if c in found.scores]].dropna(axis=1, how="all")
    columns = ["model", "architecture", "parameters", "representation_size", "clean_accuracy"]
    models = found.models[columns].dropna(axis=1, how="all")
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in found.notes)
    return (
        f"<p><b>{html.escape(found.name)}</b>: {len(found.models)} models, "
        f"{found.n_inputs:,} inputs</p>"
        f"{models.to_html(index=False, na_rep='–')}"
        f"{scores.to_html(index=False, na_rep='–', float_format='{:.4f}'.format)}"
        f"<ul>{notes}</ul>"
    )


# -- progress


#: Seconds between two lines, where there is no terminal.
BETWEEN_LINES = 10.0


def _plain_lines(console: Console) -> Watch:
    told = time.monotonic()

    def watch(what: str, done: int, total: int) -> None:
        nonlocal told
        if (now := time.monotonic()) - told >= BETWEEN_LINES:
            console.print(f"{what}: {done:,} of {total:,}", soft_wrap=True)
            told = now

    return watch


@contextmanager
def progress_bars(*, is_shown: bool | None = None) -> Iterator[Watch]:
    """A bar per model with the time left, on the error stream so that output can be piped.

    **Arguments:**

    - `is_shown`: None shows them in a terminal and in a notebook only. Where they are asked for and
      there is neither, a plain line says every ten seconds how far it is.
    """
    console = Terminal(stderr=True)
    can_show = console.is_terminal or console.is_jupyter
    if is_shown and not can_show:
        yield _plain_lines(console)
        return
    if is_shown is None:
        is_shown = can_show
    bars = Progress(
        TextColumn("{task.description}", markup=False), BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeRemainingColumn(), console=console, transient=True, disable=not is_shown,
    )  # fmt: skip
    tasks = {}
    with bars:

        def watch(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done)

        yield watch

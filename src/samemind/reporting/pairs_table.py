"""The table of pairs for a paper: models by measures, errors and floors in it, the best marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samemind.figures.boxes import measures_in
from samemind.figures.matrices import has_several_seeds, short_names
from samemind.figures.style import measure_label, place_label
from samemind.lazy import np, pd
from samemind.measures.kinds import larger_is_more_similar
from samemind.reporting.table import escape_latex, math, not_a_formula

if TYPE_CHECKING:
    from samemind.results import Results

NAME = "pairs"
PLACE = ["dataset", "inputs_dataset", "inputs", "epsilon"]
PAIR = ["model_a", "model_b"]
VALUES = ("score", "standard_error", "floor")
DIGITS = 3
MOST_MEASURES = 5  # beside one another on a page
MOST_ROWS = 45  # of one page; longer tables go on over pages


@dataclass(frozen=True, eq=False)
class Block:
    """The pairs of one dataset, kind of inputs and level: `title`, and their scores."""

    title: str
    rows: pd.DataFrame


def write_pairs(results: Results, folder: Path) -> None:
    """Writes pairs.csv (numbers in full precision) and pairs.tex, where there are pairs."""
    if not len(results.main):
        return
    results.axis.named(frame_of(results)).map(not_a_formula).to_csv(
        folder / f"{NAME}.csv", index=False
    )
    (folder / f"{NAME}.tex").write_text(latex_of(results), encoding="utf-8")


def frame_of(results: Results) -> pd.DataFrame:
    """A row per pair and kind of inputs; score, standard error and floor of each measure."""
    rows = results.main
    wide = rows.pivot_table(
        index=[*PLACE, *PAIR], columns="measure", values=list(VALUES), aggfunc="first", sort=False,
        dropna=False,
    ).reset_index()  # fmt: skip
    wide.columns = ["_".join(filter(None, reversed(c))) for c in wide.columns]
    measures = [str(name) for name in rows["measure"].unique()]
    order = [f"{name}_{value}" for name in measures for value in VALUES]
    return wide[[*PLACE, *PAIR, *(name for name in order if name in wide)]].dropna(
        how="all", subset=[name for name in order if name in wide]
    )


def latex_of(results: Results) -> str:
    r"""The scores of all pairs in LaTeX, with `\label{tab:pairs}`.

    A row per pair, a column per measure: score ± standard error, the most alike pair of each
    block in bold, what is not beyond 95 % of shuffled inputs in italics, and under each block its
    floors. More than five measures go on in a second table.
    """
    blocks, constant = _blocks(results)
    measures = measures_in(results.main)
    parts = [measures[i : i + MOST_MEASURES] for i in range(0, len(measures), MOST_MEASURES)]
    lines = sum(len(block.rows[PAIR].drop_duplicates()) + 2 for block in blocks)
    is_long = lines > MOST_ROWS
    needs = "% needs \\usepackage{booktabs}" + (" and \\usepackage{longtable}" if is_long else "")
    tables = [
        _table(
            blocks,
            part,
            _caption(results, constant, blocks, (number + 1, len(parts))),
            f"tab:{NAME}" + (f"-{number + 1}" if number else ""),
            is_long=is_long,
        )
        for number, part in enumerate(parts)
    ]
    return f"{needs}\n" + "\n".join(tables)


def _blocks(results: Results) -> tuple[list[Block], list[str]]:
    """The blocks, and what is the same in all of them and so belongs in the caption."""
    rows = _named(results.main)
    groups = list(rows.groupby(PLACE, sort=False))
    texts = [_texts(results.axis.symbol, *key) for key, _ in groups]  # pyright: ignore[reportArgumentType]
    columns = list(zip(*texts, strict=True))
    same = [len(set(column)) == 1 for column in columns]
    constant = [column[0] for column, is_same in zip(columns, same, strict=True) if is_same]
    blocks = []
    for text, (_, part) in zip(texts, groups, strict=True):
        own = [one for one, is_same in zip(text, same, strict=True) if not is_same]
        blocks.append(Block(", ".join(own), part))
    return blocks, [text for text in constant if text]


def _texts(
    symbol: str, dataset: str, inputs_dataset: str, inputs: str, level: float
) -> tuple[str, str, str]:
    place = f"{symbol} = {level:g}" if level == level else ""
    return place_label(dataset, inputs_dataset), f"{inputs} inputs", place


def _named(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with the names of models as figures have them, where these tell them apart."""
    has_seeds = has_several_seeds(rows)
    short = {
        side: np.array(short_names(rows, side, has_seeds=has_seeds), dtype=object) for side in "ab"
    }
    keys = [
        (dataset, level, name, model)
        for side in "ab"
        for dataset, level, name, model in zip(
            rows["dataset"], rows["epsilon"], short[side], rows[f"model_{side}"], strict=True
        )
    ]
    is_clear = len({key[:3] for key in keys}) == len(set(keys))
    if is_clear:
        rows = rows.assign(model_a=short["a"], model_b=short["b"])
    return rows


def _caption(
    results: Results, constant: Sequence[str], blocks: Sequence[Block], part: tuple[int, int]
) -> str:
    rows = results.main
    said = ["Every pair of models"]
    said.append(f" ({', '.join(constant)})" if constant else "")
    counts = sorted({int(n) for n in rows["n_inputs"].dropna()})
    if counts:
        ends = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
        said.append(f", on {ends} inputs")
    said.append(": score")
    said.append(" ± standard error" if rows["standard_error"].notna().any() else "")
    said.append(".")
    if any(len(block.rows[PAIR].drop_duplicates()) > 1 for block in blocks):
        said.append(" Bold: the most alike pair by each measure.")
    if rows["floor"].notna().any():
        said.append(" Floor: the score of shuffled inputs, mean or range over the pairs.")
    if _is_chance(rows).any():
        said.append(" Italics: not beyond 95 % of shuffled inputs.")
    names = {str(name) for name in rows["measure"].unique()}
    if any(not larger_is_more_similar(name) for name in names):
        said.append(" Of distances and divergences smaller is more alike.")
    if part[1] > 1:
        said.append(f" Part {part[0]} of {part[1]}.")
    return "".join(said)


def _is_chance(rows: pd.DataFrame) -> pd.Series:
    """Which scores shuffled inputs reach in more than 5 % of cases."""
    names = map(str, rows["measure"].unique())
    is_larger = rows["measure"].map({name: larger_is_more_similar(name) for name in names})
    beyond = np.where(
        is_larger, rows["score"] > rows["floor_p95"], rows["score"] < rows["floor_p95"]
    )
    return rows["floor_p95"].notna() & rows["score"].notna() & ~beyond


def _table(
    blocks: Sequence[Block], measures: Sequence[str], caption: str, label: str, *, is_long: bool
) -> str:
    spec = "ll" + "r" * len(measures)
    names = ["Model a", "Model b", *map(measure_label, measures)]
    head = "  \\toprule\n  " + " & ".join(map(escape_latex, names)) + " \\\\\n  \\midrule\n"
    body = "  \\midrule\n".join(_body(block, measures) for block in blocks)
    titled = f"\\caption{{{escape_latex(caption)}}}"
    if is_long:
        return (
            f"\\begin{{longtable}}{{{spec}}}\n  {titled}\\label{{{label}}} \\\\\n{head}"
            f"  \\endfirsthead\n{head}  \\endhead\n"
            f"{body}  \\bottomrule\n\\end{{longtable}}\n"
        )
    return (
        f"\\begin{{table}}\n  \\centering\n  {titled}\n  \\label{{{label}}}\n"
        f"  \\begin{{tabular}}{{{spec}}}\n{head}{body}  \\bottomrule\n"
        "  \\end{tabular}\n\\end{table}\n"
    )


def _body(block: Block, measures: Sequence[str]) -> str:
    rows = block.rows[block.rows["measure"].isin(measures)]
    rows = rows.assign(_is_chance=_is_chance(rows))
    best = {name: _best(part) for name, part in rows.groupby("measure")}
    held: dict[tuple[str, str], dict[str, str]] = {}
    for record in rows.to_dict("records"):
        cell = _cell(record, is_best=record["score"] == best[record["measure"]])
        held.setdefault((record["model_a"], record["model_b"]), {})[record["measure"]] = cell
    lines = []
    if block.title:
        lines.append(f"\\multicolumn{{{2 + len(measures)}}}{{l}}{{{escape_latex(block.title)}}}")
    for pair, cells in held.items():
        names = map(escape_latex, pair)
        lines.append(" & ".join([*names, *(cells.get(name, "--") for name in measures)]))
    if rows["floor"].notna().any():
        floors = [_floor(rows[rows["measure"] == name]["floor"]) for name in measures]
        lines.append(" & ".join(["\\multicolumn{2}{l}{floor}", *floors]))
    return "".join(f"  {line} \\\\\n" for line in lines)


def _best(rows: pd.DataFrame) -> float:
    """The most alike score among several; NaN, which equals nothing, for a single pair."""
    scores = rows["score"].dropna()
    if len(scores) < 2 or scores.nunique() < 2:
        return float("nan")
    is_larger = larger_is_more_similar(str(rows["measure"].iloc[0]))
    return float(scores.max() if is_larger else scores.min())


def _cell(record: dict[Any, Any], *, is_best: bool) -> str:
    score, error = record["score"], record["standard_error"]
    if score != score or score is None:
        return "--"
    text = math(f"{score:.{DIGITS}f}")
    if record["_is_chance"]:  # the best of what is chance is no finding
        text = f"\\textit{{{text}}}"
    elif is_best:
        text = f"\\textbf{{{text}}}"
    if error == error and error is not None:
        text += f" $\\pm$ {error:.{DIGITS}f}"
    return text


def _floor(floors: pd.Series) -> str:
    floors = floors.dropna()
    if not len(floors):
        return "--"
    ends = dict.fromkeys(math(f"{end:.{DIGITS}f}") for end in (floors.min(), floors.max()))
    return "--".join(ends) if floors.min() >= 0 else " to ".join(ends)

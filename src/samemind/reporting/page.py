"""The page: one self-contained file that opens offline.

The charts are drawn by a script of our own in SVG: at this size (tens of kB instead of one to five
MB) they follow the reader's theme, width and keyboard, and a chart is the table it came from.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samemind import __version__
from samemind.figures.base import FIGURES, Results
from samemind.figures.evidence import readings_of_verdict, verdicts
from samemind.figures.style import measure_label
from samemind.files.pictures import open_picture
from samemind.reporting.answers import cards_of, note_of
from samemind.reporting.comparison import Comparison
from samemind.reporting.embedded import embedded
from samemind.reporting.flips import flips_of
from samemind.reporting.shown import shown_on_page
from samemind.reporting.table import Table
from samemind.statistics.trends import FEWEST_UNITS
from samemind.statistics.verdict import SMALLEST_CHANGE, UNIVERSAL_LEVEL

if TYPE_CHECKING:
    from samemind.reporting.report import Undrawn

HERE = Path(__file__).parent
MOST_PICTURE_CHARACTERS = 4_000_000  # of 15 MB, with as much for images, the rest for numbers
SMALLEST_PICTURE = 10_000
COLOUR_MAPPED = ("heat_maps", "layer_map", "measure_agreement")
# The parts of the page's script: one script, in this order, as the page is one file.
SCRIPT = (
    *("ground", "rows", "address", "taking", "light", "meaning", "drawing", "boxes", "heat"),
    *("map", "scatter", "layers", "pairs", "pair", "tables", "start"),
)
# Tables that open on demand.
FOLDED = (
    *("ranking", "layer-maps", "sets", "layers", "readings", "fidelity", "fidelity-layers"),
    *("flips", "driving-texts"),
)


@dataclass(frozen=True)
class Drawn:
    """A figure in the report: the files that hold it (without ending) and what it shows."""

    name: str
    title: str
    shows: str
    paper: str
    file: str
    variant: str = ""
    measure: str = ""

    @property
    def label(self) -> str:
        """The measure of a figure that shows one, as readers know it."""
        return measure_label(self.measure) if self.measure else ""


def page_of(
    study: Results,
    tables: Sequence[Table],
    drawn: Sequence[Drawn],
    undrawn: Sequence[Undrawn],
    figures: Path,
) -> str:
    """The text of index.html; `figures` is the folder with the PNG files to put into it."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    held = pictures_of(drawn, figures)
    environment.globals["picture"] = lambda entry: held.get(entry.file)
    environment.globals["keeps_colours"] = keeps_colours
    parts: Any = environment.get_template("parts.html.j2").module
    recipes = recipe_list(study.recipes)
    shown, left_out = shown_on_page(study)
    held_by_script = embedded(shown)
    is_comparison = isinstance(study, Comparison)
    if is_comparison:
        tables = [_of_comparison(table) for table in tables if not table.paper]
    return environment.get_template("page.html.j2").render(
        study=study,
        axis=study.axis,
        has_adversarial=bool((study.scores["inputs"] == "adversarial").any()),
        counts=counts_of(study),
        is_comparison=is_comparison,
        answers=cards_of(study),
        answers_note=note_of(study),
        no_verdict=_no_verdict(study),
        names=[table.name for table in tables],
        left_out=left_out,
        verdicts=[
            (dataset, [verdict for _, verdict in found])
            for dataset, found in groupby(verdicts(study), key=lambda item: item[0])
        ],
        readings=readings_of_verdict(study),
        rules={
            "change": SMALLEST_CHANGE,
            "level": UNIVERSAL_LEVEL,
            "models": FEWEST_UNITS,
            "sentences": max(1, sum(v.answer != "none" for _, v in verdicts(study))),
        },
        tables=tables,
        folded=FOLDED,
        has_layer_maps=bool(held_by_script["layer_maps"]),
        flips=flips_of(study),
        drawn=drawn,
        variants=variants_of(drawn),
        undrawn=undrawn,
        recipes=recipes,
        environment=json.dumps(dict(study.environment), indent=1, sort_keys=True, default=str),
        version=__version__,
        show=parts.show,
        draw=parts.draw,
        css=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        script=Markup(script_text()),
        data=Markup(
            script_safe_json(
                held_by_script
                | {"recipes": recipes, "is_comparison": is_comparison}
                | {"axis": {"text": study.axis.text, "symbol": study.axis.symbol}}
            )
        ),
    )


def script_text() -> str:
    """The page's script: the parts of the folder script/, joined."""
    return "\n".join(
        (HERE / "script" / f"{part}.js").read_text(encoding="utf-8") for part in SCRIPT
    )


def _no_verdict(study: Results) -> str:
    """One sentence in the place of verdicts where none can be given for want of a second ε."""
    if study.models["epsilon"].nunique() != 1:
        return ""
    level = study.models["epsilon"].iloc[0]
    return study.axis.told(
        f"There is no verdict: it is on what changes with ε, and this study has ε = {level:g} only."
    )


OF_STUDIES = ("Dataset", "ε", "Random seed", "Weak")


def _of_comparison(table: Table) -> Table:
    """The table without the columns that say nothing of a comparison of one's own models."""
    if table.name != "models":
        return table
    texts = zip(*table.texts(), strict=True)
    told = [
        str(column) not in OF_STUDIES and set(cells) != {"–"}
        for column, cells in zip(table.frame.columns, texts, strict=True)
    ]
    return replace(
        table,
        frame=table.frame.loc[:, told],
        caption="Every model, and its accuracy on these inputs where their labels apply.",
    )


def script_safe_json(content: Any) -> str:
    """JSON that cannot end the script element it stands in, whatever names it holds."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def pictures_of(drawn: Sequence[Drawn], figures: Path) -> dict[str, str]:
    """Figures as addresses that hold them, in reading order for as long as the page has room."""
    found: dict[str, str] = {}
    room = MOST_PICTURE_CHARACTERS
    # What is shown at once comes before what is folded away.
    for entry in sorted(drawn, key=lambda entry: bool(entry.measure or entry.variant)):
        if room < SMALLEST_PICTURE:
            break
        file = figures / f"{entry.file}.png"
        address = picture_uri(file, is_drawing=not has_photographs(entry))
        if len(address) <= room:
            found[entry.file] = address
            room -= len(address)
    return found


def has_photographs(entry: Drawn) -> bool:
    """Whether a figure shows images, whose colours must stay."""
    return bool({"gallery", "contributions"} & set(FIGURES[entry.name].needs))


def keeps_colours(entry: Drawn) -> bool:
    """Whether a figure's colours say something bright or dark, so that a dark page keeps them."""
    return has_photographs(entry) or entry.name in COLOUR_MAPPED


def picture_uri(file: Path, *, is_drawing: bool) -> str:
    """A PNG file as an address that holds it; a drawing with the 256 colours that come nearest.

    Lines and letters have few colours, and with 256 of them the file is a third as large.
    """
    content = file.read_bytes()
    if is_drawing:
        from PIL import Image

        held = io.BytesIO()
        with open_picture(file) as picture:
            picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(held, "PNG")
        content = min(content, held.getvalue(), key=len)
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")


def variants_of(drawn: Sequence[Drawn]) -> list[tuple[str, list[Drawn]]]:
    """The figures that are folded away: by measure, and with the common models only."""
    found: dict[str, list[Drawn]] = {}
    for entry in drawn:
        if entry.measure:
            found.setdefault(f"{entry.title}, measure by measure", []).append(entry)
        elif entry.variant:
            variant = entry.variant[:1].upper() + entry.variant[1:]
            found.setdefault(variant, []).append(entry)
    return list(found.items())


def recipe_list(recipes: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was made by which recipe; those of several studies have the study's name in front."""
    found = []
    for what, recipe in recipes.items():
        if isinstance(recipe, Mapping):
            found += [(f"{what}: {inner}", text) for inner, text in recipe_list(recipe)]
        else:
            found.append((str(what), str(recipe)))
    return found


def counts_of(study: Results) -> dict[str, Any]:
    """What the top of the page says: how much there is, and what is undefined or weak."""
    scores = study.scores
    undefined = scores[scores["score"].isna()]
    reasons = undefined["reason"].fillna("no reason was recorded").value_counts()
    datasets = ", ".join(map(str, study.models["dataset"].unique()))
    levels = ", ".join(f"{level:g}" for level in sorted(study.models["epsilon"].unique()))
    pairs = len(scores[["dataset", "epsilon", "model_a", "model_b"]].drop_duplicates())
    ordered = "ordered " if (scores["inputs"] != "natural").any() else ""
    if isinstance(study, Comparison):
        lead = f"{_counted(len(study.models), 'model')} on {study.n_inputs:,} inputs of {datasets}"
    else:
        place = f"{study.axis.symbol} = {levels}"
        lead = f"{_counted(len(study.models), 'model')} trained on {datasets} at {place}"
    measures = scores["measure"].nunique()
    common = len(study.only_common_models().models)
    return {
        "models": len(study.models),
        "scores": len(scores),
        "undefined": len(undefined),
        "reasons": list(reasons.items()),
        "imported": sorted(study.imported_models),
        "is_one_epsilon": study.models["epsilon"].nunique() < 2,
        "weak": sorted(study.weak_models),
        "lead": f"{lead}; {_counted(pairs, f'{ordered}pair')}, {_counted(measures, 'measure')}, "
        f"{_counted(len(scores), 'score')}.",
        "changing": f"{common} of {len(study.models)} models are there at every {study.axis.text}"
        if common < len(study.models)
        else "",
    }


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"

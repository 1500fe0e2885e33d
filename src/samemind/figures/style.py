"""The style sheet: sizes for print, colours that colour-blind readers can tell apart, fonts."""

from __future__ import annotations

import hashlib
import io
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samemind.figures.widths import ONE_COLUMN, TWO_COLUMNS, columns_within, width_or
from samemind.files.reading import checksum
from samemind.measures.base import MEASURES

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette. The paper codes the kind of input by colour; so do all figures here.
COLOUR = {
    "natural": "#0072B2",
    "inverted": "#D55E00",
    "adversarial": "#AA4499",
    "floor": "#767676",
    "ceiling": "#007A5A",
    "bound": "#8C8C8C",
    "ink": "#222222",
}
#: The kinds of inputs, in the order of figures and legends.
INPUT_KINDS = ("natural", "inverted", "adversarial")
CYCLE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

PRINT_DPI = 200

# The sizes of letters in points, the only ones that figures use.
PLAIN = 8
SMALL = 7
SMALLEST = 6

LIGHT_FONT = "DejaVu Sans for samemind"
CHARACTERS = (
    "".join(map(chr, [*range(0x20, 0x7F), *range(0xA0, 0x180), *range(0x391, 0x3CA)]))
    + "–—‘’“”…−×·≤≥≈∞→←↑↓√⅓⅔₀₁₂∥"
)

STYLE: dict[Any, Any] = {
    # Type 42 embeds TrueType outlines, which conferences check; type 3 is refused.
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "samemind",  # so that the same results give the same bytes
    "font.size": PLAIN,
    "axes.titlesize": PLAIN,
    "axes.labelsize": PLAIN,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "axes.axisbelow": True,
    "axes.grid": False,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.5,
    "axes.titlelocation": "left",
    "axes.edgecolor": COLOUR["ink"],
    "text.color": COLOUR["ink"],
    "axes.labelcolor": COLOUR["ink"],
    "xtick.color": COLOUR["ink"],
    "ytick.color": COLOUR["ink"],
    "figure.dpi": 100,
    "savefig.dpi": PRINT_DPI,
}


MECHANISMS = {"stir": "STIR", "attack_transfer": "Attack transfer"}


def measure_label(name: str) -> str:
    """How a measure is called in figures: the paper's word for it, or its name in words."""
    plain, _, share = name.partition("@")
    if share.endswith("%") and (label := MEASURES[plain].label):
        return label.format(k=f"{share[:-1]} % of the inputs")
    if name in MEASURES and (label := MEASURES[name].label):
        return label.format(**MEASURES[name].settings)
    return MECHANISMS.get(plain, plain).replace("_", " ") + (f" ({share})" if share else "")


def neighbours_of(name: str) -> int:
    """The k of a k-NN Jaccard measure, from its name; 10 where the name gives none."""
    digits = "".join(c for c in name.removeprefix("knn_jaccard") if c.isdigit())
    return int(digits or 10)


def dataset_label(name: str) -> str:
    """How a dataset is called in figures: a folder by its last name, others by theirs.

    >>> dataset_label("folder:/data/birds@64")
    'birds'
    """
    if not name.startswith("folder:"):
        return name
    path, _, renamed = name.removeprefix("folder:").partition(" (")
    last = path.rstrip("/").rpartition("/")[2].partition("@")[0] or path
    return last + (f" ({renamed}" if renamed else "")


def labels_of(names: Iterable[str]) -> dict[str, str]:
    """What files of datasets are called: short, but whole where two would be called the same.

    >>> labels_of(["cifar10", "folder:/data/birds@64", "folder:/a/x", "folder:/b/x"])["cifar10"]
    'cifar10'
    """
    called = {name: dataset_label(name) for name in names}
    shared = Counter(called.values())
    return {name: label if shared[label] == 1 else name for name, label in called.items()}


def place_label(dataset: str, inputs_dataset: str) -> str:
    """The models' dataset and, where it is another, that of the inputs."""
    if dataset == inputs_dataset:
        return dataset_label(dataset)
    return f"{dataset_label(dataset)} on {dataset_label(inputs_dataset)}"


def epsilon_text(epsilon: float) -> str:
    """ε as in the paper: 0, 0.25, 1."""
    return f"{epsilon:g}"


@contextmanager
def house_style() -> Iterator[None]:
    """The style sheet, for as long as the block runs."""
    import matplotlib

    style: dict[Any, Any] = STYLE | {"font.family": [_light_font(), "DejaVu Sans"]}
    with matplotlib.rc_context(style):
        yield


@cache
def _light_font() -> str:
    """The name of DejaVu Sans with the characters that figures use, and nothing else.

    Every PDF embeds what it uses of its font, and to find that in the full DejaVu Sans (6,000
    glyphs) takes longer than to draw a figure. Other characters come from the full font.
    """
    import matplotlib
    from matplotlib import font_manager

    for weight in ("", "-Bold"):
        source = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"DejaVuSans{weight}.ttf"
        font_manager.fontManager.addfont(_light_file(source))
    return LIGHT_FONT


def _light_file(source: Path) -> Path:
    """The light font's file, in matplotlib's own cache: made once, and found there ever after.

    Not a temporary folder: a process that is killed would leave it behind, each time another.
    """
    import fontTools
    import matplotlib
    from matplotlib.ft2font import FT2Font

    made_of = [checksum(source).encode(), CHARACTERS.encode(), fontTools.version.encode(), b"1"]
    name = hashlib.sha256(b"".join(made_of)).hexdigest()[:16]
    file = Path(matplotlib.get_cachedir()) / f"samemind-{name}{source.suffix}"
    try:
        FT2Font(file)
    except (OSError, RuntimeError):  # absent, or cut short
        draft = file.with_suffix(f".{os.getpid()}")
        draft.write_bytes(_subset(source))
        draft.replace(file)
    return file


def _subset(source: Path) -> bytes:
    """That font with only `CHARACTERS`, under the name of `LIGHT_FONT`."""
    from fontTools import subset

    options = subset.Options(layout_features=[], name_IDs=["*"], notdef_outline=True)
    options.drop_tables += ["FFTM"]
    made = io.BytesIO()
    with subset.load_font(str(source), options) as font:
        chooser = subset.Subsetter(options)
        chooser.populate(text=CHARACTERS)
        chooser.subset(font)
        for record in font["name"].names:
            if record.nameID in (1, 16):
                kind = record.platformID, record.platEncID, record.langID
                font["name"].setName(LIGHT_FONT, record.nameID, *kind)
        subset.save_font(font, made, options)
    return made.getvalue()


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of that size in inches, without pyplot's global state.

    Where a width was asked for it has that; its height is the caller's to choose.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_or(width), height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def grid_of(count: int, most: int = 3) -> tuple[int, int]:
    """(rows, columns) that hold `count` panels, with as few empty ones as can be."""
    rows = -(-count // most)
    return rows, -(-count // rows)


def panels(count: int, *, most: int = 3, height: float = 2.1) -> tuple[Figure, Sequence[Axes]]:
    """A figure with `count` panels, at most `most` in a row, and its axes."""
    rows, columns = grid_of(count, columns_within(most))
    width = ONE_COLUMN if columns == 1 and most > 1 else TWO_COLUMNS
    figure = new_figure(width, height * rows)
    axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for axis in axes[count:]:
        axis.set_visible(False)
    return figure, axes[:count]


def letter(axes: Sequence[Axes]) -> None:
    """Puts A, B, C … before the titles, as the paper does, where there are several panels."""
    if len(axes) < 2:
        return
    for axis, name in zip(axes, "ABCDEFGHIJKLMNOPQRSTUVWXYZ", strict=False):
        axis.set_title(f"     {axis.get_title(loc='left')}", loc="left")
        axis.annotate(
            name, (0, 1), xycoords="axes fraction", xytext=(0, 6), textcoords="offset points",
            fontsize=STYLE["axes.titlesize"], fontweight="bold", in_layout=False,
        )  # fmt: skip


def legend_below(figure: Figure, handles: Sequence[Any]) -> None:
    """A legend under the figure, in as many columns as its width has room for, evenly filled.

    The figure grows by the lines of the legend beyond the first.
    """
    if not handles:
        return
    size = STYLE["legend.fontsize"]
    longest = max(len(str(handle.get_label())) for handle in handles)
    entry = size * (4.8 + 0.56 * longest)  # points: the mark, the gaps and the letters
    most = max(1, min(len(handles), int(72 * figure.get_figwidth() / entry)))
    lines, columns = grid_of(len(handles), most)
    figure.set_figheight(figure.get_figheight() + (lines - 1) * 1.7 * size / 72)
    figure.legend(handles=list(handles), loc="outside lower center", ncols=columns)


def looks_of(architectures: Iterable[str]) -> dict[str, dict[str, Any]]:
    """A marker and a colour for each architecture, in this order, as matplotlib's arguments."""
    return {
        name: {"marker": MARKERS[i % len(MARKERS)], "color": CYCLE[i % len(CYCLE)]}
        for i, name in enumerate(dict.fromkeys(map(str, architectures)))
    }


def note_above(figure: Figure, text: str) -> None:
    """Puts a sentence above a figure, which grows by the lines that it takes."""
    import textwrap

    width, height = figure.get_size_inches()
    # A name that is broken cannot be copied.
    lines = textwrap.wrap(
        text, max(30, int(width * 19)), break_on_hyphens=False, break_long_words=False
    )
    figure.set_size_inches(width, height + 0.12 * len(lines))
    title = figure.get_suptitle()
    above = {"fontsize": SMALLEST} if not title else {}
    figure.suptitle("\n".join([*filter(None, [title]), *lines]), x=0.01, ha="left", **above)


def as_picture(image: np.ndarray) -> np.ndarray:
    """An image as matplotlib shows it: (H, W) or (H, W, 3), in [0, 1]."""
    import numpy as np

    picture = np.clip(np.asarray(image, dtype=float), 0, 1)
    if picture.ndim == 3:
        picture = np.moveaxis(picture, 0, -1)
        picture = picture[..., 0] if picture.shape[-1] == 1 else picture[..., :3]
    return picture

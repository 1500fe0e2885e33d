"""How alike two networks are layer by layer, and which of it is more than chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from samemind.errors import UndefinedScore
from samemind.lazy import np, pd, torch
from samemind.measures import measure
from samemind.measures.base import Measure, Pair, Side
from samemind.measures.members import FEWEST_SHUFFLES
from samemind.measures.shuffling import LARGEST_TAIL, floors_of_alignments
from samemind.sides.grams import Grams, products, products_by_row
from samemind.sides.groups import jackknife_variance
from samemind.sides.streamed import StreamedSide
from samemind.statistics.layer_nulls import best_of_row, chance_of, null_maps
from samemind.statistics.verdict import ALPHA

if TYPE_CHECKING:
    from torch import Tensor

#: The measures that are cosines of centred Gram matrices, and whether these are U-centred.
OF_GRAMS = {"linear_cka": False, "debiased_linear_cka": True}
#: Numbers in the Gram matrices of two networks up to which they are held (1 GB in float32).
MOST_NUMBERS = 2**28
#: Of fewer inputs the moments over orders say too little of the tail; then inputs are shuffled.
FEWEST_INPUTS = 20
#: Null maps where inputs are shuffled though the measure is one of Gram matrices.
SHUFFLES = 199


@dataclass(eq=False)
class Layers:
    """The layers of one network by name, with what is made of them once for all its maps."""

    sides: Mapping[str, Side]
    _grams: dict[bool, Grams] = field(default_factory=dict)

    @classmethod
    def of(cls, given: Layers | Mapping[str, Tensor | Side]) -> Layers:
        if isinstance(given, Layers):
            return given
        return cls(
            {n: v if isinstance(v, Side) else Side(representation=v) for n, v in given.items()}
        )

    @property
    def n_inputs(self) -> int:
        return next(iter(self.sides.values())).n_inputs

    @property
    def is_streamed(self) -> bool:
        return any(isinstance(side, StreamedSide) for side in self.sides.values())

    def grams(self, *, is_debiased: bool) -> Grams:
        if is_debiased not in self._grams:
            self._grams[is_debiased] = Grams(list(self.sides.values()), is_debiased=is_debiased)
        return self._grams[is_debiased]


def _meeting(rows: Layers, columns: Layers) -> Pair:
    """Any layer of each: the pair knows which rows are of one group, and how these may be moved."""
    return Pair(next(iter(rows.sides.values())), next(iter(columns.sides.values())))


def layer_map(
    first: Layers | Mapping[str, Tensor | Side],
    second: Layers | Mapping[str, Tensor | Side],
    name: str = "debiased_linear_cka",
    *,
    errors: bool = True,
    permutations: int = 20,
    random_seed: int = 0,
) -> pd.DataFrame:
    """The score of every layer of one network with every layer of another: a row per pair.

    **Arguments:**

    - `first`, `second`: activations `(N, …)` or sides of the same inputs, by the layer's name.
    - `name`: of any measure of representations.
    - `errors`: whether cells have standard errors, and the best of a row is told from the others.
    - `permutations`: shuffles of the inputs, shared by all cells, for a measure that is not one of
        Gram matrices; 0 leaves chance out for any. With fewer than 19 there is no p-value.

    **Returns:** columns `layer_a`, `layer_b`, `measure`, `score`, and

    - `standard_error`; `floor`, `floor_p95` and `p_value` of the cell by itself;
    - `p_row`, `p_map`: the chance of a score as good anywhere in the row, and in the map, under
      one order of the inputs that all cells share;
    - `is_best`: the best cell of its row, known to be: beyond chance in its row, and told apart
      from every other cell of it (paired differences, Holm); `is_tied`: not told apart from it;
    - `on_path`: on the best path from the first layers to the last ones (Sakoe and Chiba, 1978),
      with its mean `path_score` and chance `path_p_value`;
    - `reason`: why a score is empty (a layer may be constant).

    **Cost:** of linear CKA, one N × N Gram matrix a layer and all pairs as one product, with
    errors and chance for about a tenth more; memory for L N² numbers up to 2²⁸, and beyond that as
    any measure: what depends on one layer once, the rest once per pair, with chance as many times
    as there are permutations.
    """
    chosen = measure(name)
    rows, columns = Layers.of(first), Layers.of(second)
    found = _by_grams(rows, columns, chosen, errors, permutations)
    if found is None:
        found = _by_pairs(rows, columns, chosen, errors, permutations)
    if permutations:
        _add_chance(found, rows, columns, chosen, permutations, random_seed)
    return found.table(list(rows.sides), list(columns.sides), chosen)


class _Found:
    """A map on its way, `(R, C)` each; `tied` and `best` as cells."""

    def __init__(self, n_rows: int, n_columns: int) -> None:
        shape = n_rows, n_columns

        def empty() -> np.ndarray:
            return np.full(shape, np.nan)

        self.scores, self.errors = empty(), empty()
        self.floor, self.floor_p95, self.p_value = empty(), empty(), empty()
        self.p_row, self.p_map = empty(), empty()
        self.deviation, self.skewness = empty(), empty()
        self.is_best, self.is_tied = np.zeros(shape, bool), np.zeros(shape, bool)
        self.on_path, self.path_score, self.path_p_value = np.zeros(shape, bool), np.nan, np.nan
        self.reasons = np.full(shape, None, dtype=object)

    def table(self, rows: Sequence[str], columns: Sequence[str], chosen: Measure) -> pd.DataFrame:
        is_best = self.is_best & ((self.p_row < ALPHA) | np.isnan(self.p_row))
        return pd.DataFrame(
            {
                "layer_a": np.repeat(np.array(rows, dtype=object), len(columns)),
                "layer_b": np.tile(np.array(columns, dtype=object), len(rows)),
                "measure": chosen.name,
                "score": self.scores.ravel(),
                "standard_error": self.errors.ravel(),
                "floor": self.floor.ravel(),
                "floor_p95": self.floor_p95.ravel(),
                "p_value": self.p_value.ravel(),
                "p_row": self.p_row.ravel(),
                "p_map": self.p_map.ravel(),
                "is_best": is_best.ravel(),
                "is_tied": self.is_tied.ravel(),
                "on_path": self.on_path.ravel(),
                "path_score": self.path_score,
                "path_p_value": self.path_p_value,
                "reason": self.reasons.ravel(),
            }
        )

    def add_row_best(self, row: int, influences: np.ndarray, sign: int) -> None:
        """Which cells of a row are best, from influences `(N, C)`; NaN where there is none."""
        scores = sign * self.scores[row]
        if np.isfinite(influences).all() and np.isfinite(scores).all() and len(scores) > 1:
            best, tied = best_of_row(scores, influences)
            self.is_tied[row] = tied
            self.is_best[row, best] = not tied.any()


# -- scores


def _by_grams(
    rows: Layers, columns: Layers, chosen: Measure, errors: bool, permutations: int
) -> _Found | None:
    """Scores, errors and floors from Gram matrices; None where they are not to be had."""
    n, count = rows.n_inputs, len(rows.sides) + len(columns.sides)
    is_streamed = rows.is_streamed or columns.is_streamed
    if chosen.name not in OF_GRAMS or n < 4 or count * n * n > MOST_NUMBERS or is_streamed:
        return None
    meeting = _meeting(rows, columns)
    first, second = (p.grams(is_debiased=OF_GRAMS[chosen.name]) for p in (rows, columns))
    found = _Found(len(first), len(second))
    scale = first.norms[:, None] * second.norms
    own = [one.own / one.own.sum(0) for one in (first, second)]
    for layers, by_row in products_by_row(first, second):
        totals = by_row.sum(0)
        scores = totals / scale[layers]
        found.scores[layers] = scores.cpu().numpy()
        if not errors:
            continue
        for row, place in enumerate(range(*layers.indices(len(first)))):
            lean = own[0][:, [place]] + own[1]
            influence = n * (2 * by_row[:, row] / scale[place] - scores[row] * lean)
            influences = meeting.independent(influence)
            found.errors[place] = jackknife_variance(influences).sqrt().cpu().numpy()
            found.add_row_best(place, influences.cpu().numpy(), 1)
    found.scores = np.where(
        np.isfinite(found.scores), np.clip(found.scores, *chosen.bounds), np.nan
    )
    if permutations and meeting.groups is None:  # moments are over all orders of the rows
        mean, deviation, skewness, tail = floors_of_alignments(
            n, (first.dimension, first.fourth), (second.dimension, second.fourth),
            is_debiased=first.is_debiased,
        )  # fmt: skip
        is_smooth = n >= FEWEST_INPUTS and not bool((tail.abs() > LARGEST_TAIL).any())
        if is_smooth:
            found.floor, found.deviation = mean.cpu().numpy(), deviation.cpu().numpy()
            found.skewness = skewness.cpu().numpy()
    _add_reasons(found, rows, columns, chosen)
    return found


def _add_reasons(found: _Found, rows: Layers, columns: Layers, chosen: Measure) -> None:
    sides = list(rows.sides.values()), list(columns.sides.values())
    for i, j in np.argwhere(~np.isfinite(found.scores)):
        try:
            chosen.score(Pair(sides[0][i], sides[1][j]))
        except UndefinedScore as error:
            found.reasons[i, j] = str(error)


def _by_pairs(
    rows: Layers, columns: Layers, chosen: Measure, errors: bool, permutations: int
) -> _Found:
    """Scores and errors pair by pair."""
    found = _Found(len(rows.sides), len(columns.sides))
    sign = 1 if chosen.larger_is_more_similar else -1
    count = _meeting(rows, columns).n_independent
    for i, a in enumerate(rows.sides.values()):
        influences = torch.full((count, len(columns.sides)), torch.nan, dtype=torch.float64)
        for j, b in enumerate(columns.sides.values()):
            pair = Pair(a, b)
            pair.expects_vectors = errors
            try:
                found.scores[i, j] = chosen.score(pair)
            except UndefinedScore as error:
                found.reasons[i, j] = str(error)
                continue
            if errors and not isinstance(influence := chosen.settled_influence(pair), str):
                influences[:, j] = influence.cpu()
            if permutations and chosen.name in OF_GRAMS:
                floor = chosen.floor(pair, permutations=1)
                if floor is not None and floor.has_tail:
                    found.floor[i, j], found.deviation[i, j] = floor.mean, floor.deviation
                    found.skewness[i, j] = floor.skewness
        if errors:
            found.errors[i] = jackknife_variance(influences).sqrt().numpy()
            found.add_row_best(i, influences.numpy(), sign)
    return found


# -- chance


def _add_chance(
    found: _Found,
    rows: Layers,
    columns: Layers,
    chosen: Measure,
    permutations: int,
    random_seed: int,
) -> None:
    """Floors, p-values, and those of rows, the whole map and its best path."""
    known = np.isfinite(found.scores)
    if not known.any() or not chosen.matches_inputs:
        return
    sign = 1 if chosen.larger_is_more_similar else -1
    has_moments = bool(np.isfinite(found.deviation[known]).all())
    if not has_moments and (rows.is_streamed or columns.is_streamed):
        return  # shuffling would read the source in random order, once per cell and shuffle
    if has_moments:
        maps = null_maps(
            found.floor, found.deviation, found.skewness,
            _likeness(rows, columns, chosen), random_seed=random_seed,
        )  # fmt: skip
        _add_cells(found)
    else:
        maps = _shuffled(rows, columns, chosen, permutations, random_seed)
        found.floor = np.where(known, maps.mean(0), np.nan)
        if len(maps) < FEWEST_SHUFFLES:
            return
        ascending = np.sort(sign * maps, axis=0)
        place = int(np.ceil(0.95 * (len(maps) + 1))) - 1
        found.floor_p95 = np.where(known, sign * ascending[place], np.nan)
        beyond = (sign * maps >= sign * found.scores).sum(0)
        found.p_value = np.where(known, (1 + beyond) / (1 + len(maps)), np.nan)
    chance = chance_of(sign * found.scores, sign * maps)
    found.p_row, found.p_map, found.on_path = chance.row, chance.whole, chance.path
    found.path_score, found.path_p_value = sign * chance.path_score, chance.path_p_value


def _add_cells(found: _Found) -> None:
    """The floor and the p-value of each cell by itself, from its moments."""
    from samemind.measures.shuffling import gamma_chance, gamma_p95

    found.floor_p95 = gamma_p95(found.floor, found.deviation, found.skewness)
    found.p_value = gamma_chance(found.scores, found.floor, found.deviation, found.skewness)


def _likeness(rows: Layers, columns: Layers, chosen: Measure) -> tuple[np.ndarray, np.ndarray]:
    """How alike the Gram matrices of each network's own layers are, from some of the inputs."""
    is_debiased = OF_GRAMS[chosen.name]
    found = []
    for layers in (rows, columns):
        if is_debiased in layers._grams:
            grams = layers._grams[is_debiased]
        else:
            every = torch.randperm(layers.n_inputs, generator=torch.Generator().manual_seed(0))
            some = every[:512].sort().values
            few = [side.restricted(some) for side in layers.sides.values()]
            grams = Grams(few, is_debiased=is_debiased)
        found.append(grams.likeness().cpu().numpy())
    return found[0], found[1]


def _shuffled(
    rows: Layers, columns: Layers, chosen: Measure, permutations: int, random_seed: int
) -> np.ndarray:
    """Maps of shuffled inputs, one order for all cells, `(M, R, C)`; NaN where undefined."""
    generator = torch.Generator().manual_seed(random_seed)
    meeting, maps = _meeting(rows, columns), []
    if OF_GRAMS.get(chosen.name) in rows._grams:
        first, second = (p.grams(is_debiased=OF_GRAMS[chosen.name]) for p in (rows, columns))
        scale = first.norms[:, None] * second.norms
        for _ in range(max(permutations, SHUFFLES)):
            order = meeting.reordered(generator).to(second.rows.device)
            maps.append((products(first, second.permuted(order)) / scale).cpu().numpy())
        return np.stack(maps)
    for _ in range(permutations):
        order = meeting.reordered(generator)
        turned = [side.permuted(order.to(side.device)) for side in columns.sides.values()]
        scores = np.full((len(rows.sides), len(turned)), np.nan)
        for i, a in enumerate(rows.sides.values()):
            for j, b in enumerate(turned):
                try:
                    scores[i, j] = chosen.score(Pair(a, b))
                except UndefinedScore:
                    continue
        maps.append(scores)
    return np.stack(maps)

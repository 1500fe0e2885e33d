"""What people bring, by every door: each is right to 1e-9 by its own formula, or refused in words.

A row of the table is a kind of array at a door: `measure`, `compare`, `Side`.
"""

import copy

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch

import samemind
from samemind.errors import InvalidInput, UndefinedScore
from samemind.measures.base import MEASURES
from samemind.measures.promises import Invariance

N = 40
RNG = np.random.default_rng(0)
A = np.maximum(RNG.standard_normal((N, 6)) - 0.3, 0)
B = np.maximum(A[:, :4] + RNG.standard_normal((N, 4)), 0)
LOGITS = RNG.standard_normal((2, N, 5))


def cka(a: np.ndarray, b: np.ndarray) -> float:
    a, b = (m - m.mean(0) for m in (a, b))
    squares = [np.linalg.norm(x.T @ y) for x, y in ((a, b), (a, a), (b, b))]
    return float(squares[0] ** 2 / (squares[1] * squares[2]))


class OnlyArray:
    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return self.values if dtype is None else self.values.astype(dtype)


class OnlyDlpack:
    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def __dlpack__(self, **options):
        return self.values.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.values.__dlpack_device__()


HELD = {
    "array": np.asarray,
    "Fortran order": np.asfortranarray,
    "negative strides": lambda m: m[::-1].copy()[::-1],
    "big endian": lambda m: m.astype(">f8"),
    "long double": lambda m: m.astype(np.longdouble),
    "objects": lambda m: m.astype(object),
    "masked, none missing": np.ma.masked_array,
    "list of lists": lambda m: m.tolist(),
    "list of arrays": list,
    "tuple of tensors": lambda m: tuple(torch.tensor(m)),
    "DataFrame": pd.DataFrame,
    "DataFrame of nullable numbers": lambda m: pd.DataFrame(m).astype("Float64"),
    "Series of arrays": lambda m: pd.Series(list(m)),
    "scipy csr": scipy.sparse.csr_matrix,
    "scipy csc array": scipy.sparse.csc_array,
    "tensor": torch.tensor,
    "tensor with gradient": lambda m: torch.tensor(m, requires_grad=True),
    "torch sparse": lambda m: torch.tensor(m).to_sparse(),
    "torch sparse csr": lambda m: torch.tensor(m).to_sparse_csr(),
    "__array__": OnlyArray,
    "DLPack": OnlyDlpack,
    "scale 1e150": lambda m: m * 1e150,
    "scale 1e-150": lambda m: m * 1e-150,
}
REFUSED = {
    "words": (lambda m: m.astype(str), "no numbers"),
    "table with words": (lambda m: pd.DataFrame(m).assign(name="x"), "hold no numbers"),
    "ragged list": (lambda m: [row[: 2 + i % 3].tolist() for i, row in enumerate(m)], "unequal"),
    "ragged tensors": (
        lambda m: [torch.tensor(row[: 2 + i % 3]) for i, row in enumerate(m)],
        "unequal",
    ),
    "a nested tensor": (
        lambda m: torch.nested.nested_tensor(
            [torch.tensor(r[: 2 + i % 3]) for i, r in enumerate(m)]
        ),
        "nested tensor",
    ),
    "one value per input": (lambda m: pd.Series(m[:, 0]), r"\(40,\)"),
    "missing": (lambda m: np.ma.masked_less(m, 0.1), "missing"),
    "NaN": (lambda m: np.where(m > 1, np.nan, m), "not finite"),
    "complex": (lambda m: m + 1j, "complex"),
    "a word": (lambda _: "activations", "array|needs images|no model|no file"),
    "a dictionary": (lambda m: {"x": m}, "no array|is a dict"),
    "dates": (lambda m: m.astype("datetime64[s]"), "no numbers"),
}
DOORS = {
    "measure": lambda a, b: samemind.measure("linear_cka")(a, b),
    "compare": lambda a, b: samemind.compare(
        {"A": a, "B": b}, measures="linear_cka", permutations=0
    ).scores["score"][0],
    "Side": lambda a, b: samemind.measure("linear_cka").score(
        samemind.measures.Pair(samemind.Side(representation=a), samemind.Side(representation=b))
    ),
}


@pytest.mark.filterwarnings("ignore:Sparse CSR:UserWarning")
@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("kind", HELD)
def test_what_holds_numbers_is_read(kind: str, door: str) -> None:
    assert DOORS[door](HELD[kind](A), HELD[kind](B)) == pytest.approx(cka(A, B), abs=1e-9)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("kind", REFUSED)
def test_what_holds_none_is_refused_in_words(kind: str, door: str) -> None:
    make, words = REFUSED[kind]
    with pytest.raises(InvalidInput, match=words) as told:
        DOORS[door](make(A), make(B))
    assert len(str(told.value)) < 1000


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def divergence(p: np.ndarray, q: np.ndarray) -> float:
    m = (p + q) / 2
    return float(np.mean((p * np.log(p / m) + q * np.log(q / m)).sum(1) / 2))


def compared(a, b, **options):
    return samemind.compare({"A": a, "B": b}, permutations=0, **options)


def test_one_logit_is_a_binary_classifier_decided_at_0() -> None:
    a, b = LOGITS[:, :, :1]
    truth = np.mean((a > 0) == (b > 0))
    assert samemind.measure("agreement")(a, b) == pytest.approx(truth, abs=1e-9)
    found = compared(samemind.Side(logits=a), samemind.Side(logits=b))
    scores = found.scores.set_index("measure")["score"]
    assert scores["agreement"] == pytest.approx(truth, abs=1e-9)
    assert sum("decided at 0" in note for note in found.notes) == 2


def test_probabilities_are_not_softmaxed_again() -> None:
    p, q = map(softmax, LOGITS)
    chosen = samemind.measure("jensen_shannon_divergence")
    truth = chosen(*LOGITS)
    assert truth == pytest.approx(divergence(p, q), abs=1e-9)
    assert chosen(p, q) == pytest.approx(truth, abs=1e-9)
    assert chosen(p, q, kind="probabilities") == pytest.approx(truth, abs=1e-9)
    again = divergence(softmax(p), softmax(q))
    assert chosen(p, q, kind="logits") == pytest.approx(again, abs=1e-9)
    found = compared(p, q, kind="probabilities", measures="jensen_shannon_divergence")
    assert found.scores["score"][0] == pytest.approx(truth, abs=1e-9)
    assert any("probabilities" in note for note in found.notes)
    with pytest.raises(InvalidInput, match="each row adds up to 1"):
        chosen(*LOGITS, kind="probabilities")


def test_class_numbers_are_decisions() -> None:
    a, b = LOGITS.argmax(2)
    b = np.minimum(b, 2)
    truth = np.mean(a == b)
    assert samemind.measure("agreement")(a, b) == pytest.approx(truth, abs=1e-9)
    with pytest.raises(UndefinedScore, match="class numbers"):
        samemind.measure("jensen_shannon_divergence")(a, b)
    rows = compared(a, b, kind="decisions").scores.set_index("measure")
    assert rows.loc["agreement", "score"] == pytest.approx(truth, abs=1e-9)
    assert "class numbers" in rows.loc["jensen_shannon_similarity", "reason"]
    with pytest.raises(InvalidInput, match="regression output"):
        samemind.measure("agreement")(LOGITS[0, :, 0], LOGITS[1, :, 0])


def test_different_numbers_of_classes_leave_rows_with_their_reasons() -> None:
    a, b = (samemind.Side(logits=LOGITS[0][:, :c]) for c in (5, 4))
    rows = compared(a, b).scores.set_index("measure")
    assert set(rows.index) == {"agreement", "jensen_shannon_similarity"}
    assert rows["score"].isna().all()
    assert rows["reason"].str.contains("same classes").all()
    three = {"a": a, "b": b, "c": samemind.Side(logits=LOGITS[1])}
    scores = samemind.compare(three, permutations=0).scores
    scores = scores[scores["measure"] == "agreement"].set_index(["model_a", "model_b"])["score"]
    truth = np.mean(LOGITS[0].argmax(1) == LOGITS[1].argmax(1))
    assert scores["a", "c"] == pytest.approx(truth, abs=1e-9)
    assert np.isnan(scores["a", "b"])


LABELS = {
    "several per input": (RNG.integers(0, 2, (N, 5)), "one label at a time"),
    "beyond the classes": (np.full(N, 5), "from 0 to 4"),
    "below 0": (np.full(N, -1), "from 0 up"),
    "fractions": (np.full(N, 0.5), "no class"),
    "words": (np.full(N, "cat"), "no numbers"),
    "too few": (np.zeros(3, int), "number of inputs|labels were given"),
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_that_do_not_fit_are_refused(kind: str) -> None:
    labels, words = LABELS[kind]
    with pytest.raises(InvalidInput, match=words):
        samemind.Side(logits=LOGITS[0], labels=labels)
    with pytest.raises(InvalidInput, match=words):
        compared(*(samemind.Side(logits=z) for z in LOGITS), labels=labels)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_networks_in_any_precision_are_compared(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 7), torch.nn.Linear(7, 3))
    other = copy.deepcopy(network)
    torch.nn.init.normal_(other[1].weight)
    images = torch.rand(N, 3, 2, 2, dtype=torch.float64)
    pair = [network.to(dtype), other.to(dtype)]
    found = compared(*pair, inputs=images, measures="linear_cka", device="cpu").scores["score"][0]
    with torch.no_grad():
        read = [n[:2](images.to(dtype)).double().numpy() for n in pair]
    assert found == pytest.approx(cka(*read), abs=1e-9 if dtype == torch.float64 else 1e-5)


SHARES = {
    "percentages": lambda p: 100 * p,
    "counts of votes": lambda p: np.random.default_rng(0).multinomial(50, p[0], len(p)),
    "rounded to two digits": lambda p: np.round(p, 2),
}


@pytest.mark.parametrize("kind", SHARES)
def test_shares_of_a_whole_are_not_taken_for_logits(kind: str) -> None:
    chosen = samemind.measure("jensen_shannon_divergence")
    p, q = (SHARES[kind](softmax(z)) for z in LOGITS)
    with pytest.raises(InvalidInput, match="Divide each row by its sum") as told:
        chosen(p, q)
    assert "kind='probabilities'" in str(told.value)
    p, q = (np.maximum(m, 1e-9) / np.maximum(m, 1e-9).sum(1, keepdims=True) for m in (p, q))
    assert chosen(p, q, kind="probabilities") == pytest.approx(divergence(p, q), abs=1e-9)
    # Logits that are not negative are logits, and so is what is said to be.
    z = LOGITS[0] - LOGITS[0].min()
    assert chosen(z, z) == 0
    assert chosen(SHARES[kind](softmax(z)), SHARES[kind](softmax(z)), kind="logits") == 0


@pytest.mark.parametrize("column", ["id", "Unnamed: 0", "label", "split"])
def test_columns_beside_activations_are_refused_by_name(column: str) -> None:
    table = pd.DataFrame(A).assign(**{column: range(N)})
    with pytest.raises(InvalidInput, match="none of its values") as told:
        samemind.measure("linear_cka")(table, B)
    assert f"drop(columns=['{column}'])" in str(told.value)
    left = table.drop(columns=[column])
    assert samemind.measure("linear_cka")(left, B) == pytest.approx(cka(A, B), abs=1e-9)


WIDE = np.random.default_rng(1).standard_normal((2, N, 6))
SCALES = [(1e-150, 1e150), (1e150, 1e-150), (1e-150, 1e-150), (1e-300, 1e300), (1e200, 1)]


@pytest.mark.parametrize("scales", SCALES)
def test_scales_decide_nothing_whatever_is_computed_first(scales: tuple[float, float]) -> None:
    found = compared(A * scales[0], B * scales[1]).scores.set_index("measure")
    plain = compared(A, B).scores.set_index("measure")
    assert found.loc["linear_cka", "score"] == pytest.approx(cka(A, B), abs=1e-9)
    for column in ("score", "standard_error", "lower", "upper"):
        np.testing.assert_allclose(
            found[column].to_numpy(float), plain[column].to_numpy(float), atol=1e-9
        )


OF_REPRESENTATIONS = [
    pytest.param(name, marks=pytest.mark.slow) if name == "geometry_score" else name
    for name in MEASURES
    if MEASURES[name].reads == "representation"
]


@pytest.mark.parametrize("name", OF_REPRESENTATIONS)
def test_no_measure_takes_a_scale_for_a_constant(name: str) -> None:
    chosen = MEASURES[name]
    labels = np.arange(N) % 8 if chosen.needs_labels else None
    plain = chosen(*WIDE, labels=labels)
    large, small = WIDE[0] * 1e200, WIDE[1] * 1e-200
    if Invariance.ISOTROPIC_SCALING not in chosen.invariances:
        with pytest.raises(UndefinedScore, match=r"1e\+200: sums .* Divide both by one number"):
            chosen(large, small, labels=labels)
        divided = chosen(*((m * 1e200) / 1e200 for m in WIDE), labels=labels)
        assert divided == pytest.approx(plain, rel=1e-9, abs=1e-9)
        return
    assert chosen(large, small, labels=labels) == pytest.approx(plain, abs=1e-9)
    pair = chosen.pair(large, small, labels=labels)
    some = torch.arange(N - 1)
    assert chosen.score(pair.restricted(some)) == pytest.approx(
        chosen.score(chosen.pair(*WIDE, labels=labels).restricted(some)), abs=1e-9
    )


def test_a_unit_beyond_all_others_is_not_nothing_in_common() -> None:
    scales = np.array([1e200, *[1.0] * 5])
    for name in ("linear_cka", "procrustes_similarity"):
        chosen = samemind.measure(name)
        assert chosen(A * scales, B) == pytest.approx(chosen(A[:, :1], B), abs=1e-9)


def test_several_labels_per_input_are_compared_one_at_a_time_as_the_message_says() -> None:
    labels = RNG.integers(0, 2, (N, 5))
    a, b = LOGITS
    with pytest.raises(InvalidInput, match=r"Side\(logits=logits\[:, \[j\]\]"):
        samemind.Side(logits=a, labels=labels)
    for j in range(5):
        sides = [samemind.Side(logits=z[:, [j]], labels=labels[:, j]) for z in (a, b)]
        found = compared(*sides)
        scores = found.scores.set_index("measure")["score"]
        assert scores["agreement"] == pytest.approx(np.mean((a[:, j] > 0) == (b[:, j] > 0)))
        right = np.mean((a[:, j] > 0) == labels[:, j])
        assert found.models["clean_accuracy"][0] == pytest.approx(right, abs=1e-9)


def test_one_number_per_input_that_is_no_logit_is_refused_and_the_ways_named_are_right() -> None:
    agreement = samemind.measure("agreement")
    p, q = (1 / (1 + np.exp(-LOGITS[:, :, :1]))).round(6)
    with pytest.raises(InvalidInput, match=r"decides at 0\.5"):
        agreement(p, q)
    truth = np.mean((p > 0.5) == (q > 0.5))
    assert agreement(p, q, kind="probabilities") == pytest.approx(truth, abs=1e-9)
    assert agreement(p, q, kind="logits") == 1.0
    a, b = LOGITS.argmax(2)[:, :, None]
    for given in (a, a.astype(np.float32)):
        with pytest.raises(InvalidInput, match="values\\[:, 0\\]"):
            agreement(given, b)
        assert agreement(given[:, 0], b[:, 0]) == pytest.approx(np.mean(a == b), abs=1e-9)
        with pytest.raises(InvalidInput, match="values\\[:, 0\\]"):
            agreement(given, b, kind="decisions")


def test_values_of_sigmoids_are_told_of() -> None:
    p, q = 1 / (1 + np.exp(-LOGITS))
    found = compared(samemind.Side(logits=p), samemind.Side(logits=q))
    assert sum("labels of their own" in note for note in found.notes) == 2
    for j in range(5):  # as the note says
        sides = [samemind.Side(logits=m[:, [j]], kind="probabilities") for m in (p, q)]
        scores = compared(*sides).scores.set_index("measure")["score"]
        assert scores["agreement"] == np.mean((p[:, j] > 0.5) == (q[:, j] > 0.5))


def test_an_index_that_only_counts_meets_no_other_order_in_silence() -> None:
    order = np.random.default_rng(2).permutation(N)
    a, b = pd.DataFrame(A), pd.DataFrame(B).iloc[order]
    chosen = samemind.measure("linear_cka")
    doors = {
        "compare": lambda x, y: compared(x, y, measures="linear_cka").scores["score"][0],
        "Side": lambda x, y: compared(
            *(samemind.Side(representation=m) for m in (x, y)), measures="linear_cka"
        ).scores["score"][0],
        "measure": chosen,
    }
    for door in doors.values():
        with pytest.raises(InvalidInput, match=r"\.sort_index\(\)"):
            door(a, b)
        assert door(a, b.sort_index()) == pytest.approx(cka(A, B), abs=1e-9)
        assert door(a, b.reset_index(drop=True)) == pytest.approx(cka(A, B[order]), abs=1e-9)
    labels = pd.Series(np.arange(N) % 3)
    logits = pd.DataFrame(LOGITS[0])
    with pytest.raises(InvalidInput, match=r"\.sort_index\(\)"):
        samemind.Side(logits=logits, labels=labels.iloc[order])
    named = logits.rename(index="x{}".format), labels.rename(index="x{}".format)
    with pytest.raises(InvalidInput, match=r"labels\.loc\[logits\.index\]"):
        samemind.Side(logits=named[0], labels=named[1].iloc[order])
    side = samemind.Side(logits=named[0], labels=named[1].iloc[order].loc[named[0].index])
    assert side.labels.tolist() == labels.tolist()
    with pytest.raises(InvalidInput, match=r"samemind\.compare joins them"):
        chosen(a.rename(index="x{}".format), b.rename(index="x{}".format))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"permutations": 2.5}, "a whole number, 0 or more"),
        ({"permutations": -1}, "a whole number, 0 or more"),
        ({"invert": True}, "a whole number, 0 or more"),
        ({"errors": "no"}, "True or False"),
        ({"device": "tpu"}, "auto, cpu, cuda"),
        ({"batch_size": 0}, "1 or more"),
    ],
)
def test_options_that_arrays_need_not_are_read_all_the_same(options, words) -> None:
    with pytest.raises(InvalidInput, match=words):
        samemind.compare({"A": A, "B": B}, **options)


def test_what_has_a_shape_and_nothing_in_it_is_refused() -> None:
    for door in DOORS.values():
        for empty in (torch.empty(N, 4, device="meta"), A[:0], A[:, :0]):
            with pytest.raises(InvalidInput, match=r"no numbers|nothing to compare"):
                door(empty, B)
        assert door([OnlyDlpack(row) for row in A], B) == pytest.approx(cka(A, B), abs=1e-9)
    with pytest.raises(InvalidInput, match="Leave it out"):
        samemind.measure("linear_cka")(A, B, kind="probabilities")


def small(seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 4), torch.nn.Linear(4, 3))


@pytest.mark.parametrize("count", [0, -3, 5.0, "5"])
def test_a_count_that_is_none_is_refused(count) -> None:
    images = torch.rand(8, 3, 2, 2)
    with pytest.raises(InvalidInput, match="a whole number, 1 or more"):
        samemind.compare([small(0), small(1)], images, count=count)
    with pytest.raises(InvalidInput, match="a whole number, 1 or more"):
        samemind.fidelity(small(0), small(1), images, count=count)


@pytest.mark.parametrize("tolerance", [-0.1, 1.5, float("nan"), "a"])
def test_a_tolerance_is_a_share(tolerance) -> None:
    with pytest.raises(InvalidInput, match="Give 0 to 1"):
        samemind.fidelity(small(0), small(1), torch.rand(8, 3, 2, 2), tolerance=tolerance)


def test_a_path_is_the_file_that_it_names(tmp_path) -> None:
    paths = [tmp_path / "a.npy", tmp_path / "b.npy"]
    for path, values in zip(paths, (A, B), strict=True):
        np.save(path, values)
    for models in (paths, dict(zip("ab", paths, strict=True))):
        found = samemind.compare(models, measures="linear_cka", permutations=0)
        assert found.scores["score"][0] == pytest.approx(cka(A, B), abs=1e-9)

"""What messages advise works: each row does what is wrong, reads the message, and does as it says.

Every message of the source that advises something is followed by a row here, by a test elsewhere
that is named, or stands in `data/messages-not-followed.txt`, which may only get shorter. A new
message with advice and without a row fails.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import samemind
from samemind import Side, measure
from samemind.attacks import ball_of
from samemind.cli import app
from samemind.errors import SamemindError
from samemind.measures.base import MEASURES
from samemind.sides.given_distances import GivenDistances
from samemind.sides.pair import Pair
from samemind.sides.streamed import StreamedSide
from samemind.statistics.bounds import agreement_bounds
from test_messages import MESSAGES

NOT_FOLLOWED = Path(__file__).parent / "data" / "messages-not-followed.txt"
VERBS = (
    "Add|Allow|Ask|Average|Bring|Build|Call|Change|Check|Choose|Collect|Compare|Compute|Convert|"
    "Copy|Divide|Drop|Export|Extract|Fetch|Find|Flatten|Free|Give|Install|Keep|Leave|Let|Load|Look|"
    "Lower|Make|Mend|Name|Number|Put|Remove|Rename|Restrict|Run|Save|Say|See|Set|Start|State|Switch|"
    "Take|Train|Try|Turn|Unpack|Update|Use|Wait|Wrap|Write"
)
ADVICE = re.compile(rf"(?:[.;:] |^)(?:{VERBS})\b|Known: |pip install|`samemind ")
#: What is put into a message when it is told, as `MESSAGES` has it.
PUT_IN = re.compile(r"\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}")

N = 60
RNG = np.random.default_rng(0)
A, B = RNG.standard_normal((2, N, 6))
Z = RNG.standard_normal((2, N, 5))
Y = RNG.integers(0, 5, N)
PIXELS = torch.rand(N, 3, 2, 2, generator=torch.Generator().manual_seed(0))


def network(seed: int = 0, classes: int = 3) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 4), nn.Linear(4, classes)).eval()


class Changed(nn.Module):
    """A network that changes its logits after the last linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = network()

    def forward(self, x):
        return self.inner(x) * torch.tensor([1.0, 2.0, 3.0])


def scores(*models: Any, inputs: Any = None, **options: Any) -> Any:
    options = {"measures": "linear_cka", "permutations": 0, "errors": False} | options
    found = samemind.compare(list(models), inputs, **options)
    assert len(found.scores)
    assert np.isfinite(found.scores["score"]).all()
    return found


def networks(**options: Any) -> Any:
    return scores(network(), network(1), inputs=options.pop("inputs", PIXELS), **options)


def command(*words: object) -> None:
    done = CliRunner().invoke(app, [str(w) for w in words])
    if isinstance(done.exception, SamemindError):
        raise done.exception
    assert done.exit_code == 0, (done.output, done.exception)


def files(*more: object) -> None:
    for name, values in (("a", A), ("b", B)):
        np.save(f"{name}.npy", values)
    command("compare", "--activations", "a.npy", "b.npy", "--permutations", 0, *more)


def agreement(*given: Any, **options: Any) -> float:
    return measure("agreement")(*given, **options)


def cka(*given: Any, **options: Any) -> float:
    return measure("linear_cka")(*given, **options)


def streamed() -> StreamedSide:
    return StreamedSide(A)


def ragged() -> list[list[float]]:
    return [row[: 2 + i % 3].tolist() for i, row in enumerate(A)]


IDS = [f"i{k}" for k in range(N)]
SOFT = np.exp(Z[0]) / np.exp(Z[0]).sum(1, keepdims=True)
NEARLY = np.round(SOFT, 2)
D = np.abs(A[:, :1] - A[:, :1].T)
RIGHT = D + D.T

Row = tuple[str, Callable[[], Any], Callable[[], Any]]
#: Words that the message alone has; what is wrong; what the message says.
ROWS: list[Row] = [
    # Arrays.
    (
        "was given, which is no array. Give numbers",
        lambda: cka("a", B),
        lambda: cka(A, B),
    ),
    (
        "device 'meta' was given",
        lambda: cka(torch.empty(N, 3, device="meta"), B),
        lambda: cka(torch.empty(N, 3, device="meta").new_ones((N, 3), device="cpu").cumsum(0), B),
    ),
    (
        "rows of unequal length",
        lambda: cka(ragged(), B),
        lambda: cka([[np.mean(row)] for row in ragged()], B),
    ),
    (
        "and no numbers. Give numbers",
        lambda: cka(A.astype(str), B),
        lambda: cka(A.astype(str).astype(float), B),
    ),
    (
        "with columns that hold no numbers",
        lambda: cka(pd.DataFrame(A).assign(n="x"), B),
        lambda: cka(pd.DataFrame(A).assign(n="x").select_dtypes("number"), B),
    ),
    (
        "with columns that are none of its values",
        lambda: cka(pd.DataFrame(A).assign(id=range(N)), B),
        lambda: cka(pd.DataFrame(A).assign(id=range(N)).drop(columns=["id"]), B),
    ),
    (
        "a masked array was given",
        lambda: cka(np.ma.masked_greater(A, 2), B),
        lambda: (lambda kept: cka(A[kept], B[kept]))((A <= 2).all(1)),
    ),
    (
        "holds the same numbers in another order",
        lambda: cka(pd.DataFrame(A), pd.DataFrame(B).iloc[::-1]),
        lambda: cka(pd.DataFrame(A), pd.DataFrame(B).iloc[::-1].sort_index()),
    ),
    (
        "is another than that of the",
        lambda: Side(logits=pd.DataFrame(Z[0], IDS), labels=pd.Series(Y, IDS)[::-1]),
        lambda: Side(
            logits=(z := pd.DataFrame(Z[0], IDS)), labels=pd.Series(Y, IDS)[::-1].loc[z.index]
        ),
    ),
    (
        "samemind.compare joins them by their ids",
        lambda: cka(pd.DataFrame(A, IDS), pd.DataFrame(B, IDS)[::-1]),
        lambda: scores(pd.DataFrame(A, IDS), pd.DataFrame(B, IDS)[::-1]),
    ),
    (
        "Two models are compared on the same inputs in the same order, but the first has {a",
        lambda: cka(A, B[1:]),
        lambda: cka(A, B),
    ),
    (
        "so all have equally many rows, but there are",
        lambda: scores(A, B[1:]),
        lambda: scores(pd.DataFrame(A, IDS), pd.DataFrame(B, IDS)[1:], join="inner"),
    ),
    (
        "The {what} of a model has the shape (inputs, values)",
        lambda: cka(A.reshape(N, 2, 3), B),
        lambda: cka(A.reshape(N, 2, 3).mean(1), B),
    ),
    (
        "The representation has the shape {tuple(values.shape)}, but a model",
        lambda: scores(A[:, 0], B),
        lambda: scores(A[:, :1], B),
    ),
    (
        "The representation has the shape {tuple(values.shape)}, so there",
        lambda: scores(A[:0], B[:0]),
        lambda: scores(A, B),
    ),
    ("The {what} has the shape", lambda: cka(A[:0], B[:0]), lambda: cka(A, B)),
    ("is complex", lambda: cka(A + 1j, B), lambda: cka(np.hstack([A, A]), B)),
    (
        "Values are missing (NaN)",
        lambda: scores(np.where(A > 2, np.nan, A), B),
        lambda: scores(np.where(A > 2, np.nan, A), B, drop_missing=True),
    ),
    (
        "ids that occur more than once",
        lambda: scores(pd.DataFrame(A, ["x", "x", *IDS[2:]]), pd.DataFrame(B, IDS), join="exact"),
        lambda: scores(pd.DataFrame(A, ["x", "x", *IDS[2:]]), pd.DataFrame(B, IDS), join="inner"),
    ),
    (
        "are of other inputs",
        lambda: scores(pd.DataFrame(A, IDS), pd.DataFrame(B, ["x", *IDS[1:]])),
        lambda: scores(pd.DataFrame(A, IDS), pd.DataFrame(B, ["x", *IDS[1:]]), join="inner"),
    ),
    ("No join is called", lambda: scores(A, B, join="iner"), lambda: scores(A, B, join="inner")),
    (
        "No kind of array is called",
        lambda: scores(A, B, kind="features"),
        lambda: scores(A, B, kind="representation"),
    ),
    # Predictions.
    (
        "No kind of predictions is called",
        lambda: agreement(*Z, kind="probs"),
        lambda: agreement(SOFT, SOFT, kind="probabilities"),
    ),
    ("is of predictions, but", lambda: cka(A, B, kind="logits"), lambda: cka(A, B)),
    (
        "not negative and every row adds up to",
        lambda: agreement(NEARLY, NEARLY),
        lambda: agreement(*(NEARLY / NEARLY.sum(1, keepdims=True),) * 2, kind="probabilities"),
    ),
    (
        "One whole number per input",
        lambda: agreement(Y[:, None], Y[:, None]),
        lambda: agreement(Y[:, None][:, 0], Y[:, None][:, 0]),
    ),
    (
        "One number in [0, 1] per input",
        lambda: agreement(SOFT[:, :1], SOFT[:, :1]),
        lambda: agreement(SOFT[:, :1], SOFT[:, :1], kind="probabilities"),
    ),
    (
        "Probabilities lie in [0, 1] and each row",
        lambda: agreement(*Z, kind="probabilities"),
        lambda: agreement(*Z),
    ),
    (
        "Class numbers have the shape (N,)",
        lambda: agreement(*Z, kind="decisions"),
        lambda: agreement(*Z.argmax(2), kind="decisions"),
    ),
    (
        "Labels are classes from 0 to {n_classes - 1}, but they range from {int(labels.min())}",
        lambda: Side(logits=Z[0], labels=Y + 1),
        lambda: Side(logits=Z[0], labels=Y),
    ),
    (
        "Predictions are compared over the same classes",
        lambda: agreement(Z[0], Z[1][:, :3]),
        lambda: agreement(Z[0][:, :3], Z[1][:, :3]),
    ),
    ("A side was given neither", lambda: Side(labels=Y), lambda: Side(logits=Z[0], labels=Y)),
    (
        "The arrays of one model differ",
        lambda: Side(representation=A, logits=Z[0][1:]),
        lambda: Side(representation=A, logits=Z[0]),
    ),
    (
        "The labels that were given differ",
        lambda: Side(logits=Z[0], labels=Y).labelled(Y[::-1].copy()),
        lambda: Side(logits=Z[0], labels=Y),
    ),
    (
        "A measure on representations was asked for",
        lambda: cka(Side(logits=Z[0]), Side(logits=Z[1])),
        lambda: cka(*(Side(logits=z, representation=m) for z, m in zip(Z, (A, B), strict=True))),
    ),
    (
        "A measure on predictions was asked for",
        lambda: agreement(Side(representation=A), Side(representation=B)),
        lambda: cka(Side(representation=A), Side(representation=B)),
    ),
    (
        "It reads probabilities, but class numbers",
        lambda: measure("jensen_shannon_divergence")(*Z.argmax(2)),
        lambda: agreement(*Z.argmax(2)),
    ),
    (
        "This measure needs the correct classes",
        lambda: measure("error_consistency")(*Z),
        lambda: measure("error_consistency")(*Z, labels=Y),
    ),
    # Measures.
    (
        "depends on the scale",
        lambda: measure("stress")(A * 1e200, B * 1e200),
        lambda: measure("stress")(A * 1e200 / 1e200, B * 1e200 / 1e200),
    ),
    (
        "neighbours were asked for",
        lambda: measure("knn_jaccard")(A[:8], B[:8]),
        lambda: measure("knn_jaccard@3")(A[:8], B[:8]),
    ),
    ("asks for a setting, but", lambda: measure("linear_cka@3"), lambda: measure("linear_cka")),
    ("No {self.kind} is called", lambda: measure("linear_ckaa"), lambda: measure("linear_cka")),
    (
        "No measure is called '{name}'. {did",
        lambda: scores(A, B, measures="linear_ckaa"),
        lambda: scores(A, B, measures="linear_cka"),
    ),
    (
        "What is usually meant is",
        lambda: MEASURES["cka"],
        lambda: MEASURES[re.findall("meant is '(\\w+)'", said(lambda: MEASURES["cka"]))[0]],
    ),
    (
        "permutations were asked for",
        lambda: measure("linear_cka").shuffled(measure("linear_cka").pair(A, B), 0, 0),
        lambda: measure("linear_cka").shuffled(measure("linear_cka").pair(A, B), 1, 0),
    ),
    (
        "needs {fewest_classes} or more",
        lambda: measure("mutual_knn_between_classes")(A, B, labels=Y % 2),
        lambda: measure("mutual_knn_between_classes")(A, B, labels=np.arange(N) % 12),
    ),
    (
        "A representation is constant over the inputs",
        lambda: measure("mean_cca")(np.ones((N, 3)), B),
        lambda: measure("mean_cca")(A, B),
    ),
    (
        "fits anything on",
        lambda: measure("mean_cca")(A[:5], B[:5]),
        lambda: (measure("debiased_linear_cka")(A[:5], B[:5]), measure("mean_cca")(A, B)),
    ),
    # Distances and chunks.
    (
        "but of one of the two only the distances",
        lambda: measure("linear_cka").score(
            Pair(GivenDistances(torch.tensor(RIGHT)), Side(representation=A))
        ),
        lambda: measure("rsa_euclidean_spearman").score(
            Pair(GivenDistances(torch.tensor(RIGHT)), Side(representation=A))
        ),
    ),
    (
        "Distances have values that are not finite",
        lambda: GivenDistances(torch.tensor(np.where(RIGHT > 2, np.inf, RIGHT))),
        lambda: GivenDistances(torch.tensor(RIGHT[:3, :3])),
    ),
    (
        "Give distances, not similarities",
        lambda: GivenDistances(torch.tensor(1 - RIGHT / 20)),
        lambda: GivenDistances(torch.tensor(RIGHT)),
    ),
    (
        "Distances are symmetric",
        lambda: GivenDistances(torch.tensor(np.triu(RIGHT))),
        lambda: GivenDistances(torch.tensor((np.triu(RIGHT) + np.triu(RIGHT).T) / 2)),
    ),
    (
        "Distances are a square matrix",
        lambda: GivenDistances(torch.tensor(RIGHT[:, :4])),
        lambda: GivenDistances(torch.tensor(RIGHT)),
    ),
    (
        "Chunks of {rows_at_once}",
        lambda: StreamedSide(A, rows_at_once=0),
        lambda: StreamedSide(A, rows_at_once=1),
    ),
    (
        "A streamed representation has the shape",
        lambda: StreamedSide(A.reshape(N, 2, 3)),
        lambda: StreamedSide(A.reshape(N, 6)),
    ),
    (
        "rows that are read in chunks would",
        lambda: streamed().permuted(torch.arange(N)),
        lambda: Side(representation=A).permuted(torch.arange(N)),
    ),
    (
        "rows were asked for, but they are read in chunks",
        lambda: streamed().restricted(torch.arange(3)),
        lambda: Side(representation=A).restricted(torch.arange(3)),
    ),
    (
        "rows at once, but they are read in chunks",
        lambda: measure("knn_jaccard").score(Pair(streamed(), streamed())),
        lambda: measure("linear_cka").score(Pair(streamed(), streamed())),
    ),
    # Comparing.
    ("The models were given as one", lambda: samemind.compare(A), lambda: scores(A, B)),
    (
        "The models were given as {type",
        lambda: samemind.compare(m for m in (A, B)),
        lambda: scores(*(m for m in (A, B))),
    ),
    (
        "compare has no option",
        lambda: scores(A, B, calibrat=True),
        lambda: scores(A, B, calibrate=True),
    ),
    (
        "is of tables of texts, and none is read",
        lambda: scores(A, B, text_column="t"),
        lambda: scores(A, B),
    ),
    ("is a network, so it needs images", lambda: scores(network(), network(1)), networks),
    ("count={count} is of inputs", lambda: scores(A, B, count=5), lambda: scores(A[:5], B[:5])),
    (
        "inputs were asked for. Ask for a whole number",
        lambda: networks(count=0),
        lambda: networks(count=9),
    ),
    ("but it is a choice", lambda: scores(A, B, errors="no"), lambda: scores(A, B, errors=False)),
    (
        "Give a whole number, 0 or more",
        lambda: scores(A, B, permutations=-1),
        lambda: scores(A, B, permutations=0),
    ),
    ("{why.format(name)} Leave it out", lambda: scores(A, B, layers="all"), lambda: scores(A, B)),
    ("and there is none here. Leave it out", lambda: networks(classes=3), networks),
    ("A batch size of", lambda: networks(batch_size=0), lambda: networks(batch_size=1)),
    ("No device is called", lambda: scores(A, B, device="tpu"), lambda: scores(A, B, device="cpu")),
    (
        "No model has a layer '{name}'",
        lambda: networks(layers=["9"]),
        lambda: networks(layers=["1"]),
    ),
    ("A depth lies between 0", lambda: networks(layers=[1.5]), lambda: networks(layers=[0.5])),
    (
        "No pooling is called",
        lambda: networks(layers="all", pooling="men"),
        lambda: networks(layers="all", pooling="mean"),
    ),
    ("Probes are trained on labels", lambda: scores(A, B, probe=True), lambda: scores(A, B)),
    (
        "Nothing else says what its representation is",
        lambda: scores(Changed(), Changed(), inputs=PIXELS),
        lambda: scores(Changed(), Changed(), inputs=PIXELS, representation="inner.1"),
    ),
    (
        "Fidelity needs outputs of the same shape",
        lambda: samemind.fidelity(network(), network(classes=4), PIXELS),
        lambda: scores(network(), network(1, classes=4), inputs=PIXELS),
    ),
    (
        "but it is a share. Give 0 to 1",
        lambda: samemind.fidelity(network(), network(), PIXELS, tolerance=2),
        lambda: samemind.fidelity(network(), network(), PIXELS, tolerance=0.2),
    ),
    (
        "Models have no option",
        lambda: samemind.fidelity(network(), network(), PIXELS, measures="linear_cka"),
        lambda: samemind.fidelity(network(), network(), PIXELS),
    ),
    (
        "checkpoints or more, but",
        lambda: samemind.trajectory([A, B], steps=[0, 1]),
        lambda: samemind.trajectory([A, B, A + B], steps=[0, 1, 2]),
    ),
    (
        "steps were given for",
        lambda: samemind.trajectory([A, B, A + B], steps=[0, 1]),
        lambda: samemind.trajectory([A, B, A + B], steps=[0, 1, 2]),
    ),
    (
        "Two checkpoints are of step",
        lambda: samemind.trajectory([A, B, A + B], steps=[0, 1, 1]),
        lambda: samemind.trajectory([A, B, A + B], steps=[0, 1, 2]),
    ),
    (
        "A step is a finite number",
        lambda: samemind.trajectory([A, B, A + B], steps=[0, 1, np.inf]),
        lambda: samemind.trajectory([A, B, A + B], steps=[0, 1, 2]),
    ),
    (
        "No table is called",
        lambda: scores(A, B).latex("scores-sum"),
        lambda: scores(A, B).latex("scores-summary"),
    ),
    (
        "No form is called",
        lambda: scores(A, B).as_text("html"),
        lambda: scores(A, B).as_text("markdown"),
    ),
    ("No norm is called", lambda: ball_of("L3", 0.1), lambda: ball_of("L2", 0.1)),
    (
        "Accuracies lie in [0, 1]",
        lambda: agreement_bounds(53, 70),
        lambda: agreement_bounds(0.53, 0.7),
    ),
    # The command.
    ("Arrays are logits or probabilities", lambda: files("--logits", "--probabilities"), files),
    ("With --activations no model runs", lambda: files("--invert", 4), files),
    (
        "says what arrays hold, and networks were given",
        lambda: command("compare", "a.npy", "b.npy", "--inputs", "digits", "--logits"),
        files,
    ),
    ("There is no family", lambda: command("list", "measure"), lambda: command("list", "measures")),
    (
        "of no kind that arrays are read from",
        lambda: (
            Path("a.xyz").write_text("x"),
            command("compare", "--activations", "a.xyz", "a.xyz"),
        )[1],
        files,
    ),
    (
        "has no array '{array}'",
        lambda: (
            np.savez("c.npz", x=A),
            files(),
            command("compare", "--activations", "c.npz::xx", "a.npy"),
        )[2],
        lambda: (
            np.savez("c.npz", x=A),
            files(),
            command("compare", "--activations", "c.npz::x", "b.npy"),
        ),
    ),
]


def said(wrong: Callable[[], Any]) -> str:
    with pytest.raises(SamemindError) as told:
        wrong()
    return str(told.value)


def all_messages() -> dict[str, str]:
    """The messages by their file and text, without what is put into it."""
    return {f"{place.partition(':')[0]}: {PUT_IN.sub('…', text)}": text for place, text in MESSAGES}


def advising() -> set[str]:
    return {name for name, text in all_messages().items() if ADVICE.search(text)}


def of(words: str) -> dict[str, str]:
    found = {name: text for name, text in all_messages().items() if words in text}
    assert found, f"no message has the words: {words}"
    return found


def as_pattern(template: str) -> str:
    """The expression that what the template becomes matches."""
    return ".*".join(map(re.escape, PUT_IN.split(template)))


@pytest.mark.parametrize("words", [row[0] for row in ROWS])
def test_what_a_message_advises_works(words: str, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    _, wrong, right = next(row for row in ROWS if row[0] == words)
    message = said(wrong)
    assert any(re.search(as_pattern(text), message, re.DOTALL) for text in of(words).values()), (
        message
    )
    assert len(message) < 1000
    right()


#: Followed by tests of other files: words of the message, and the test.
ELSEWHERE = {
    "{path} {said}.": "test_file_messages.py::test_a_file_of_another_kind_is_named",
}


def test_every_message_that_advises_is_followed_or_stands_in_the_list() -> None:
    followed = {name for row in ROWS for name in of(row[0])}
    for words, test in ELSEWHERE.items():
        file, _, name = test.partition("::")
        assert f"def {name}" in (Path(__file__).parent / file).read_text(encoding="utf-8")
        followed |= set(of(words))
    listed = NOT_FOLLOWED.read_text(encoding="utf-8").splitlines()
    listed = {line for line in listed if line and not line.startswith("#")}
    everything = advising()
    new = sorted(everything - followed - listed)
    assert not new, f"add a row that follows the advice: {new[:3]}"
    gone = sorted(listed - (everything - followed))
    assert not gone, f"no longer to be listed: {gone[:3]}"

"""Networks without one linear head, and inputs that are no images."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

import samemind
from samemind.errors import InvalidInput

CPU = {"permutations": 0, "errors": False, "device": "cpu"}
IMAGES = torch.rand(48, 3, 16, 16, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(48) % 4


def body(seed: int, *more: nn.Module) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 12),
        nn.ReLU(), *more,
    ).eval()  # fmt: skip


def classifier(seed: int) -> nn.Sequential:
    return body(seed, nn.Linear(12, 4)).eval()


def given(network: nn.Module, upto: int, images: torch.Tensor = IMAGES) -> torch.Tensor:
    with torch.no_grad():
        return network[:upto](images)


def side(found, a: torch.Tensor, b: torch.Tensor) -> None:
    """That a comparison is one of these two representations."""
    row = found.scores.set_index("measure").loc["linear_cka"]
    assert row["score"] == pytest.approx(samemind.measure("linear_cka")(a, b), abs=1e-6)


def test_an_encoder_is_refused_with_layers_that_then_work() -> None:
    pair = {"A": body(0), "B": body(1)}
    with pytest.raises(InvalidInput, match=r"--representation .*'4', '5'") as told:
        samemind.compare(pair, IMAGES, **CPU)
    assert "no single linear layer" in str(told.value)
    found = samemind.compare(pair, IMAGES, representation="4", **CPU)
    side(found, given(body(0), 5), given(body(1), 5))
    assert list(found.readings["representation"]) == ["what 4 returns"] * 2
    assert any("A predicts nothing" in note for note in found.notes)
    assert not set(found.scores["measure"]) & {"agreement", "jensen_shannon_similarity"}


def test_a_layer_of_an_image_is_averaged_over_space_and_each_model_has_its_own() -> None:
    pair = {"A": body(0), "B": classifier(1)}
    found = samemind.compare(pair, IMAGES, representation={"A": "1"}, **CPU)
    side(found, given(body(0), 2).mean((2, 3)), given(classifier(1), 6))
    assert "averaged" in found.readings["representation"][0]
    in_order = samemind.compare(pair, IMAGES, representation=["1", None], **CPU)
    assert in_order.scores["score"].equals(found.scores["score"])
    with pytest.raises(InvalidInput, match=r"no model is called that\. Models: A, B"):
        samemind.compare(pair, IMAGES, representation={"a": "1"}, **CPU)
    with pytest.raises(InvalidInput, match="3 representations were given for 2 models"):
        samemind.compare(pair, IMAGES, representation="1,2,3", **CPU)
    with pytest.raises(InvalidInput, match="has no layer '44'"):
        samemind.compare(pair, IMAGES, representation="44", **CPU)


def test_beside_classifiers_an_encoder_has_reasons_layers_probes_and_inversions() -> None:
    models = {"A": body(0), "B": classifier(1), "C": classifier(2)}
    found = samemind.compare(
        models, IMAGES, labels=LABELS, representation={"A": "4"}, layers=["0"], probe=True,
        invert=2, invert_steps=2, **CPU,
    )  # fmt: skip
    rows = found.scores[found.scores["inputs"] == "natural"].set_index("measure")
    agreement = rows.loc["agreement"]
    assert agreement["score"].isna().tolist() == [True, True, False]
    assert all("predicts nothing" in reason for reason in agreement["reason"][:2])
    assert rows.loc["linear_cka", "score"].notna().all()
    assert set(found.probe_accuracies) == {"A", "B", "C"}
    probes = found.probes.query("heads == 'probe' and measure == 'agreement'")
    assert probes["score"].notna().sum() == 3
    assert len(found.layers) == 3
    assert [r.a for r in found.replacements] == ["B"]


def test_a_head_that_was_replaced_by_the_identity_gives_what_it_would_read() -> None:
    class Net(nn.Module):
        def __init__(self, seed: int) -> None:
            super().__init__()
            self.body, self.fc = body(seed), nn.Identity()

        def forward(self, x):
            return self.fc(self.body(x))

    found = samemind.compare([Net(0).eval(), Net(1).eval()], IMAGES, **CPU)
    side(found, given(body(0), 6), given(body(1), 6))


class Tokens(nn.Module):
    """Returns outputs by name, as encoders of transformers do."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.patches, self.act = nn.Conv2d(3, 6, 4, 4), nn.Tanh()

    def forward(self, x):
        tokens = self.act(self.act(self.patches(x))).flatten(2).transpose(1, 2)
        return {"tokens": tokens, "first": tokens[:, 0]}


@pytest.mark.parametrize(
    ("named", "read"),
    [
        ("tokens", lambda _, out: out["tokens"].mean(1)),
        ("tokens[3]", lambda _, out: out["tokens"][:, 3]),
        ("tokens[-1]", lambda _, out: out["tokens"][:, -1]),
        ("first", lambda _, out: out["first"]),
        ("patches", lambda net, _: net.patches(IMAGES).mean((2, 3))),
        ("act#1", lambda net, _: net.patches(IMAGES).tanh().mean((2, 3))),
        ("act#2", lambda net, _: net.patches(IMAGES).tanh().tanh().mean((2, 3))),
    ],
)
def test_fields_tokens_and_calls_are_named(named: str, read) -> None:
    nets = [Tokens(0).eval(), Tokens(1).eval()]
    with torch.no_grad():
        expected = [read(net, net(IMAGES)) for net in nets]
    side(samemind.compare(nets, IMAGES, representation=named, **CPU), *expected)


def test_what_cannot_be_read_is_said() -> None:
    nets = [Tokens(0).eval(), Tokens(1).eval()]
    for named, words in {
        "tokens[99]": "Token 99 was asked for",
        "act#3": "gave 2 tensors in one pass",
        "first[0]": "Token 0 was asked for",
    }.items():
        with pytest.raises(InvalidInput, match=words):
            samemind.compare(nets, IMAGES, representation=named, **CPU)


# -- inputs


class Waves(nn.Module):
    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.conv, self.head = nn.Conv1d(1, 8, 9, 4), nn.Linear(8, 5)

    def forward(self, wave, gain=None):
        wave = wave if gain is None else wave * gain[:, None, None]
        return self.head(self.conv(wave).relu().mean(2))


WAVES = torch.randn(40, 1, 100, generator=torch.Generator().manual_seed(0))
GAIN = torch.rand(40, generator=torch.Generator().manual_seed(1))
NUMBERS = torch.arange(40) % 5


def loader(*tensors: torch.Tensor):
    dataset = torch.utils.data.TensorDataset(*tensors)
    return torch.utils.data.DataLoader(dataset, batch_size=7)


WAYS = {
    "an array": (lambda: WAVES.numpy(), False, False),
    "by name": (lambda: {"wave": WAVES, "gain": GAIN}, True, False),
    "several": (lambda: (WAVES, GAIN), True, False),
    "by name with labels": (lambda: {"wave": WAVES, "labels": NUMBERS}, False, True),
    "a loader": (lambda: loader(WAVES), False, False),
    "a loader with labels": (lambda: loader(WAVES, NUMBERS), False, True),
    "a dataset with labels": (
        lambda: torch.utils.data.TensorDataset(WAVES, NUMBERS), False, True,
    ),
    "batches of names": (
        lambda: [{"wave": WAVES[i : i + 9], "gain": GAIN[i : i + 9]} for i in range(0, 40, 9)],
        True, False,
    ),
    "a generator": (lambda: iter(WAVES.split(11)), False, False),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_inputs_of_any_shape_and_batches_of_them_are_looked_at(way: str) -> None:
    make, has_gain, has_labels = WAYS[way]
    nets = [Waves(0).eval(), Waves(1).eval()]
    found = samemind.compare(nets, make(), batch_size=13, **CPU)
    with torch.no_grad():
        read = [
            net.conv(WAVES * GAIN[:, None, None] if has_gain else WAVES).relu().mean(2)
            for net in nets
        ]
    side(found, *read)
    assert list(found.readings["representation"]) == ["what head reads"] * 2
    assert found.scores.set_index("measure")["score"].notna()["agreement"]
    assert bool(len(found.replacements)) == has_labels


def test_what_is_no_image_is_not_inverted() -> None:
    with pytest.raises(InvalidInput, match="Inverted inputs are images"):
        samemind.compare([Waves(0), Waves(1)], WAVES, invert=3, **CPU)


def test_tables_video_and_a_way_to_call() -> None:
    rows = torch.randn(40, 6)
    tables = [nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 3)).eval() for _ in range(2)]
    with torch.no_grad():
        side(samemind.compare(tables, rows, **CPU), *(t[:2](rows) for t in tables))
    clips = torch.rand(12, 3, 4, 8, 8)
    films = [
        nn.Sequential(nn.Conv3d(3, 4, 3), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 3))
        for _ in range(2)
    ]
    with torch.no_grad():
        side(samemind.compare(films, clips, **CPU), *(f[:3](clips) for f in films))
    called = samemind.compare(
        [Waves(0).eval(), Waves(1).eval()],
        {"x": WAVES, "g": GAIN},
        forward=lambda net, batch: net(batch["x"], gain=2 * batch["g"]),
        **CPU,
    )
    with torch.no_grad():
        loud = 2 * WAVES * GAIN[:, None, None]
        side(called, *(Waves(s).conv(loud).relu().mean(2) for s in (0, 1)))


class Fails(nn.Module):
    def __init__(self, how) -> None:
        super().__init__()
        self.how, self.head, self.n = how, nn.Linear(6, 3), 0

    def forward(self, x):
        return self.how(self, x)


def late(net, x):
    net.n += len(x)
    if net.n > 20:
        raise KeyError("late")
    return net.head(x)


TABLE = torch.randn(40, 6)
BAD = {
    "raises": (Fails(lambda *_: 1 / 0), TABLE, "'B' .*ZeroDivisionError: division by zero"),
    "raises later": (Fails(late), TABLE, "'B' failed on its inputs with KeyError"),
    "gives NaN": (
        Fails(lambda net, x: net.head(torch.where(x > 1.5, torch.nan, x))),
        TABLE.clamp(-1, 1).index_fill(0, torch.tensor([30]), 2.0),
        "'B' gives NaN for 1 of 40 inputs, the first is number 30",
    ),
    "wrong shape": (nn.Linear(5, 3), TABLE, "'B' could not read the inputs"),
    "wrong key": (nn.Linear(6, 3), {"x": TABLE}, "'.' failed on the first inputs with TypeError"),
    "unequal lengths": (nn.Linear(6, 3), (TABLE, TABLE[:5]), "as many inputs each"),
    "no inputs": (nn.Linear(6, 3), TABLE[:0], "as many inputs each"),
    "an empty batch": (nn.Linear(6, 3), [(TABLE, TABLE), (TABLE[:0], TABLE[:0])], "Batch 1 holds"),
    "batches that differ": (
        nn.Linear(6, 3), iter([TABLE, TABLE[:, :5]]), r"the first is \(n, 6\), batch 1 is \(n, 5\)",
    ),
    "no batch": (nn.Linear(6, 3), iter([]), "gave no batch"),
    "labels of another number": (nn.Linear(6, 3), {"input": TABLE, "labels": NUMBERS[:9]}, "9 lab"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_what_goes_wrong_is_one_sentence(kind: str) -> None:
    network, inputs, words = BAD[kind]
    with pytest.raises(InvalidInput, match=words) as told:
        samemind.compare({"A": nn.Linear(6, 3).eval(), "B": network.eval()}, inputs, **CPU)
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 400
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())


# -- precision, sizes, normalisations


@pytest.mark.parametrize("precision", ["float64", "bfloat16", "float16", "autocast-bfloat16"])
def test_precisions_may_differ_from_model_to_model(precision: str) -> None:
    network = classifier(0)
    found = samemind.compare(
        {"A": network, "B": classifier(0)}, IMAGES, precision=["float32", precision], **CPU
    )
    assert found.readings["precision"].tolist() == ["float32", precision]
    score = found.scores.set_index("measure")["score"]
    assert score["linear_cka"] == pytest.approx(1, abs=1e-3)
    assert next(network.parameters()).dtype == torch.float32
    with pytest.raises(InvalidInput, match="No precision is called 'int3'"):
        samemind.compare([network, network], IMAGES, precision="int3", **CPU)


def test_sizes_and_normalisations_may_differ_from_model_to_model() -> None:
    pair = {"A": classifier(0), "B": classifier(1)}
    found = samemind.compare(
        pair, IMAGES, image_size=[16, 12], normalise={"A": "imagenet", "B": "inception"}, **CPU
    )
    assert found.readings["image_size"].tolist() == [16, 12]
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    small = nn.functional.interpolate(IMAGES, (12, 12), mode="bilinear", antialias=True)
    side(
        found,
        given(pair["A"], 6, (IMAGES - mean[:, None, None]) / std[:, None, None]),
        given(pair["B"], 6, (small - 0.5) / 0.5),
    )
    numbers = samemind.compare(
        pair, IMAGES, image_size="16,12", mean=[mean.tolist(), [0.5] * 3],
        std=[std.tolist(), [0.5] * 3], **CPU,
    )  # fmt: skip
    np.testing.assert_allclose(numbers.scores["score"], found.scores["score"], atol=1e-5)


def test_dynamic_int8_quantisation_is_read_before_its_head() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantised = torch.ao.quantization.quantize_dynamic(classifier(0), {nn.Linear})
    found = samemind.compare({"A": classifier(0), "B": quantised}, IMAGES, **CPU)
    score = found.scores.set_index("measure")["score"]
    assert 0.9 < score["linear_cka"] < 1 + 1e-9
    assert found.readings["representation"].tolist() == ["what 6 reads"] * 2

"""Maps of layers: exact against each measure, chance under shared orders, paths, and how shown."""

from itertools import product

import numpy as np
import pytest
import torch

import samemind
from samemind.comparison import layer_maps
from samemind.comparison.layer_maps import OF_GRAMS, Layers, layer_map
from samemind.measures import MEASURES, Pair, Side
from samemind.reporting.layer_maps import map_of, summary_of
from samemind.sides.grams import Grams
from samemind.statistics.layer_nulls import best_of_row, best_path, chance_of, path_scores

torch.set_num_threads(1)


def network(seed: int, n: int, kind: str = "gauss", widths=(8, 16, 32), inputs=None, dtype=None):
    """The layers of a small random network on `inputs`, or on some of its own."""
    rng = np.random.default_rng(seed)
    if inputs is None:
        inputs = rng.standard_t(3, (n, 10)) if kind == "t3" else rng.standard_normal((n, 10))
        if kind == "clusters":
            inputs = (
                inputs
                + 2 * np.random.default_rng(5).standard_normal((10, 10))[rng.integers(0, 10, n)]
            )
    layers, values = {}, inputs
    for i, width in enumerate(widths):
        values = values @ rng.standard_normal((values.shape[1], width)) / values.shape[1] ** 0.5
        values = values if kind == "t3" else np.tanh(values)
        noisy = values + 0.1 * rng.standard_normal(values.shape)
        layers[f"layer{i}"] = torch.from_numpy(noisy).to(dtype or torch.float64)
    return layers


def two_networks(n: int = 60, dtype=torch.float64, **options):
    inputs = np.random.default_rng(9).standard_normal((n, 10))
    widths = ((8, 16, 100), (12, 80, 12, 20))
    return tuple(
        network(seed, n, widths=some, inputs=inputs, dtype=dtype, **options)
        for seed, some in enumerate(widths)
    )


@pytest.mark.parametrize("name", sorted(OF_GRAMS))
@pytest.mark.parametrize(("dtype", "close"), [(torch.float64, 1e-9), (torch.float32, 1e-6)])
def test_gram_matrices_give_what_the_measure_gives_in_float64(name, dtype, close) -> None:
    first, second = two_networks(dtype=dtype)
    first["offset"] = first["layer0"] + 100  # few digits of float32 are left
    table = layer_map(first, second, name)
    member = MEASURES[name]
    for row in table.to_dict("records"):
        arrays = first[row["layer_a"]].double(), second[row["layer_b"]].double()
        floor = member.floor(*arrays)
        assert row["score"] == pytest.approx(member.score(*arrays), abs=close)
        assert row["standard_error"] == pytest.approx(member.standard_error(*arrays), abs=close)
        assert row["floor"] == pytest.approx(floor.mean, abs=close)
        assert row["floor_p95"] == pytest.approx(floor.p95, abs=close)
        expected = floor.chance_beyond(row["score"])
        assert row["p_value"] == pytest.approx(expected, rel=1e-3, abs=close)


@pytest.mark.parametrize("name", sorted(OF_GRAMS))
def test_without_room_for_gram_matrices_maps_say_the_same(name, monkeypatch) -> None:
    first, second = two_networks()
    expected = layer_map(first, second, name)
    monkeypatch.setattr(layer_maps, "MOST_NUMBERS", 0)
    found = layer_map(first, second, name)
    for column in ("score", "standard_error", "floor", "floor_p95", "p_value"):
        np.testing.assert_allclose(found[column], expected[column], atol=1e-9)
    assert list(found["is_best"]) == list(expected["is_best"])
    assert list(found["is_tied"]) == list(expected["is_tied"])


def test_blocks_of_units_and_of_layers_change_nothing(monkeypatch) -> None:
    first, second = two_networks()
    expected = layer_map(first, second)
    monkeypatch.setattr("samemind.sides.grams.UNITS_AT_ONCE", 7)
    monkeypatch.setattr("samemind.sides.grams.LAYERS_AT_ONCE", 2)
    found = layer_map(first, second)
    np.testing.assert_allclose(found["score"], expected["score"], atol=1e-12)
    np.testing.assert_allclose(found["standard_error"], expected["standard_error"], atol=1e-12)


def test_layers_of_batches_and_constant_layers() -> None:
    first, second = two_networks()
    first["dead"] = torch.ones(60, 3)
    table = layer_map(first, second).set_index("layer_a")
    assert table.loc["dead", "score"].isna().all()
    assert table.loc["dead", "reason"].str.contains("constant").all()
    assert not table.loc["dead", "is_best"].any()
    assert table.loc["layer0", "p_map"].notna().all()
    assert table["path_score"].isna().all()  # no path leads past a layer without a score
    with pytest.raises(samemind.SamemindError, match="59"):
        layer_map(first, {"x": torch.ones(59, 2)})


def test_any_measure_has_maps_with_shared_shuffles() -> None:
    first, second = two_networks()
    table = layer_map(first, second, "procrustes_distance", permutations=19, random_seed=3)
    member = MEASURES["procrustes_distance"]
    order = torch.randperm(60, generator=torch.Generator().manual_seed(3))
    row = table.iloc[0]
    arrays = first["layer0"], second["layer0"]
    assert row["score"] == pytest.approx(member.score(*arrays))
    assert row["standard_error"] == pytest.approx(member.standard_error(*arrays))
    assert row["floor"] > row["score"]  # a distance
    shuffled = member.score(arrays[0], arrays[1][order])
    assert shuffled == pytest.approx(row["floor"], abs=0.1)
    assert table["p_map"].min() == pytest.approx(1 / 20)
    few = layer_map(first, second, "procrustes_distance", permutations=5)
    assert few["floor"].notna().all()
    assert few["p_map"].isna().all()
    none = layer_map(first, second, "procrustes_distance", permutations=0, errors=False)
    assert none[["floor", "p_value", "standard_error"]].isna().all().all()


def test_the_best_of_a_row_is_named_where_it_is_told_apart() -> None:
    rng = np.random.default_rng(0)
    shared = rng.standard_normal((200, 8))
    noisy = [torch.from_numpy(shared + s * rng.standard_normal((200, 8))) for s in (0.2, 1, 1)]
    table = layer_map(
        {"x": torch.from_numpy(shared)}, {"near": noisy[0], "far": noisy[1], "far2": noisy[2]}
    )
    assert list(table["is_best"]) == [True, False, False]
    assert not table["is_tied"].any()
    table = layer_map({"x": torch.from_numpy(shared)}, {"far": noisy[1], "far2": noisy[2]})
    assert not table["is_best"].any()
    assert table["is_tied"].all()
    scores, influences = np.array([0.5, 0.5]), np.zeros((20, 2))
    assert best_of_row(scores, influences)[1].all()  # the same layer twice


def test_unrelated_networks_have_no_best_layer() -> None:
    table = layer_map(network(0, 100), network(1, 100), random_seed=1)
    assert table["p_map"].min() > 0.05
    assert not table["is_best"].any()


def test_the_best_path_is_the_best_of_all() -> None:
    rng = np.random.default_rng(0)
    maps = rng.standard_normal((5, 3, 4))

    def every(i: int, j: int, total: float, table: np.ndarray):
        if (i, j) == (2, 3):
            yield total
            return
        for di, dj in ((0, 1), (1, 0), (1, 1)):
            if i + di < 3 and j + dj < 4:
                weight = di + dj
                yield from every(i + di, j + dj, total + weight * table[i + di, j + dj], table)

    for table, found in zip(maps, path_scores(maps), strict=True):
        assert found == pytest.approx(max(every(0, 0, 2 * table[0, 0], table)) / 7)
        path, score = best_path(table)
        assert score == pytest.approx(found)
        assert path[0, 0]
        assert path[2, 3]


def test_chances_count_null_maps_at_least_as_large() -> None:
    nulls = np.array([[[0.1, 0.5]], [[0.2, 0.2]], [[0.9, 0.0]]])
    found = chance_of(np.array([[0.5, 0.3]]), nulls)
    assert found.whole.tolist() == [[3 / 4, 3 / 4]]
    assert found.row.tolist() == [[3 / 4, 3 / 4]]
    found = chance_of(np.array([[0.95, np.nan]]), nulls)
    assert found.whole[0, 0] == 1 / 4
    assert np.isnan(found.whole[0, 1])


def test_likeness_is_that_of_all_rows() -> None:
    layers = [Side(representation=v) for v in network(0, 512, widths=(8, 16, 32)).values()]
    grams = Grams(layers, is_debiased=True)
    flat = grams.rows.transpose(0, 1).flatten(1).double()
    exact = torch.nn.functional.normalize(flat) @ torch.nn.functional.normalize(flat).T
    assert torch.allclose(grams.likeness(), exact, atol=0.05)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "n", "widths"),
    [
        ("gauss", 60, (8, 16, 32, 64, 200)),
        ("clusters", 100, (8, 16, 32)),
        ("gauss", 200, (3, 3, 300)),
    ],
)
@pytest.mark.parametrize("name", sorted(OF_GRAMS))
def test_null_maps_are_found_in_three_to_seven_of_a_hundred(name, kind, n, widths) -> None:
    found = []
    for seed in range(500):
        first = network(seed, n, kind, widths, dtype=torch.float32)
        second = network(10**6 + seed, n, kind, (40, 12, 40, 40), dtype=torch.float32)
        table = layer_map(first, second, name, errors=False, random_seed=seed)
        rows = table.groupby("layer_a")["p_row"].min()
        found.append((table["p_map"].min(), rows.iloc[0], table["path_p_value"].iloc[0]))
    share = (np.array(found) <= 0.05).mean(0)
    # 3 to 7 %, give or take two deviations of 500 maps.
    assert (share > 0.03 - 0.02).all()
    assert (share < 0.07 + 0.02).all()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), [("mutual_knn", "gauss"), ("linear_cka", "t3")])
def test_null_maps_by_shuffles_keep_their_level(name, kind) -> None:
    found = []
    for seed in range(120):
        first, second = (network(s, 50, kind, (8, 16)) for s in (seed, 10**6 + seed))
        table = layer_map(first, second, name, errors=False, permutations=19, random_seed=seed)
        found.append(table["p_map"].min() <= 0.05)
    assert np.mean(found) < 0.05 + 2.5 * 0.02


def test_maps_are_shown_in_terminal_table_and_figure(tmp_path) -> None:
    first, second = two_networks(n=150)
    table = layer_map(first, second).assign(model_a="one", model_b="two")
    chance = layer_map(network(0, 150), network(1, 150)).assign(model_a="one", model_b="three")
    rng = np.random.default_rng(0)
    arrays = dict(zip(("one", "two", "three"), rng.random((3, 30, 4)), strict=True))
    found = samemind.compare(arrays, measures="linear_cka")
    import pandas as pd

    object.__setattr__(found, "layers", pd.concat([table, chance], ignore_index=True))
    text = repr(found)
    assert "p in map" in text
    assert "columns: 1 layer0, 2 layer1" in text
    marked = map_of(table)
    assert text.count("*") >= int(marked.is_best.sum()) + 1
    summary = summary_of(found.layers)
    assert list(summary["pair"]) == ["one – two", "one – three"]
    assert summary["p in map"].iloc[0] < 0.05 < summary["p in map"].iloc[1]
    drawing = found.figure("layer_map")
    greys = [axis.images[1].get_array()[..., 3] > 0 for axis in drawing.axes[:2]]
    assert [int(grey.sum()) for grey in greys] == [
        int((part["p_value"] >= 0.05).sum()) for part in (table, chance)
    ]
    assert found.report(tmp_path / "report")
    assert (tmp_path / "report" / "tables" / "layer-maps.csv").exists()
    # Of results from before maps had floors there is the map alone.
    old = table[["layer_a", "layer_b", "measure", "score", "reason", "model_a", "model_b"]]
    object.__setattr__(found, "layers", old)
    assert "p in map" not in repr(found)
    found.figure("layer_map")


def test_layers_are_made_once_for_all_maps(monkeypatch) -> None:
    first, second = (Layers.of(one) for one in two_networks())
    made = []
    monkeypatch.setattr(layer_maps, "Grams", lambda sides, **k: made.append(1) or Grams(sides, **k))
    for a, b in product((first, second), repeat=2):
        layer_map(a, b)
    assert len(made) == 2


@pytest.mark.parametrize("name", ["linear_cka", "debiased_linear_cka", "procrustes_similarity"])
def test_rows_of_one_group_count_once_in_the_errors_of_a_map(name: str) -> None:
    g = torch.Generator().manual_seed(5)
    groups = torch.arange(30).repeat_interleave(4)
    shared = torch.randn(30, 5, generator=g, dtype=torch.float64)[groups]
    sides = [
        Side(
            representation=shared + torch.randn(120, 5, generator=g, dtype=torch.float64),
            groups=groups,
        )
        for _ in range(4)
    ]
    member = samemind.measure(name)
    found = layer_map(
        {"1": sides[0], "2": sides[1]}, {"1": sides[2], "2": sides[3]}, name, permutations=19
    )
    expected = [member.standard_error(Pair(a, b)) for a in sides[:2] for b in sides[2:]]
    assert found["standard_error"].tolist() == pytest.approx(expected, rel=1e-6)
    # One of 20 orders at the least, the groups together.
    assert (found["p_value"].dropna() >= 1 / 200).all()
    assert (found["floor_p95"] < found["score"]).all()

"""Rows are joined by their ids, missing values left out together, references compared."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from scipy.spatial.distance import pdist, squareform
from typer.testing import CliRunner

import samemind
from samemind.cli import app
from samemind.errors import InvalidInput
from samemind.inputs.joining import joined_by_id

RNG = np.random.default_rng(0)
N = 40
A = RNG.standard_normal((N, 6))
B = A[:, :4] + RNG.standard_normal((N, 4))
IDS = np.array([f"img{i:03d}" for i in range(N)])
FAST = {"permutations": 0, "errors": False}
CKA = "linear_cka"


def score(found, measure: str = CKA) -> float:
    return float(found.scores.set_index("measure")["score"][measure])


PLAIN = score(samemind.compare({"A": A, "B": B}, measures=CKA, **FAST))


def test_of_1000_shuffled_partial_and_duplicated_joins_none_passes_unnoticed() -> None:
    rng = np.random.default_rng(1)
    unnoticed = 0
    for trial in range(1000):
        kind = ("shuffled", "partial", "duplicated")[trial % 3]
        n = int(rng.integers(4, 30))
        first = rng.permutation(1000)[:n].astype(str if trial % 2 else np.int64)
        order = rng.permutation(n)
        second = first[order]
        if kind == "partial":
            second = second[: int(rng.integers(2, n))]
        elif kind == "duplicated":
            second = second.copy()
            at = rng.choice(n, 2, replace=False)
            second[at[0]] = second[at[1]]
        ids, counts = {"A": first, "B": second}, {"A": n, "B": len(second)}
        try:
            found = joined_by_id(ids, counts)
            told = joined_by_id(ids, counts, "inner")
        except InvalidInput:
            assert kind != "shuffled"
            told = joined_by_id(ids, counts, "inner")
            rows = [
                np.arange(counts[name]) if chosen is None else chosen
                for name, chosen in told.rows.items()
            ]
            is_right = np.array_equal(first[rows[0]], second[rows[1]])
            twice = {k for k in second.tolist() if second.tolist().count(k) > 1}
            common = [k for k in first.tolist() if k in second.tolist() and k not in twice]
            unnoticed += not (is_right and first[rows[0]].tolist() == common and told.notes)
            continue
        rows = [np.arange(n) if r is None else r for r in found.rows.values()]
        is_same = np.array_equal(order, np.arange(n))
        is_told = is_same or any("put in the order" in note for note in found.notes)
        unnoticed += not (
            kind == "shuffled" and np.array_equal(first[rows[0]], second[rows[1]]) and is_told
        )
    assert unnoticed == 0


def tables(order: np.ndarray) -> tuple[pd.DataFrame, pd.DataFrame]:
    return pd.DataFrame(A, index=IDS), pd.DataFrame(B[order], index=IDS[order])


def test_tables_are_joined_by_their_index_wherever_they_go() -> None:
    order = RNG.permutation(N)
    a, b = tables(order)
    found = samemind.compare({"A": a, "B": b}, measures=CKA, **FAST)
    assert score(found) == pytest.approx(PLAIN, abs=1e-12)
    assert "The rows of B were put in the order of A, by their ids." in found.notes
    sides = {
        "A": samemind.Side(representation=A, ids=IDS),
        "B": samemind.Side(representation=B[order], ids=IDS[order]),
    }
    assert score(samemind.compare(sides, measures=CKA, **FAST)) == pytest.approx(PLAIN, abs=1e-12)
    with pytest.raises(InvalidInput, match="other ids"):
        samemind.measure(CKA)(*sides.values())
    assert any("no ids were given" in note for note in samemind.compare([A, B], **FAST).notes)
    mixed = samemind.compare({"A": a, "B": B}, measures=CKA, **FAST)
    assert any("B came without ids" in note for note in mixed.notes)


def test_other_inputs_are_refused_or_left_out_and_counted() -> None:
    a, b = tables(np.arange(N))
    with pytest.raises(InvalidInput, match=r"40 and 30 ids, 30 in common; only A has 'img000'"):
        samemind.compare({"A": a, "B": b[10:]}, **FAST)
    found = samemind.compare({"A": a, "B": b[10:][::-1]}, join="inner", measures=CKA, **FAST)
    assert any("30 that all have; left out are 10 of A" in note for note in found.notes)
    assert score(found) == pytest.approx(samemind.measure(CKA)(A[10:], B[10:]), abs=1e-12)
    doubled = pd.concat([b, b[:2]])
    with pytest.raises(InvalidInput, match="2 ids that occur more than once"):
        samemind.compare({"A": a, "B": doubled}, **FAST)
    found = samemind.compare({"A": a, "B": doubled}, join="inner", measures=CKA, **FAST)
    assert any("2 ids occur more than once in B and were left out" in note for note in found.notes)
    assert found.n_inputs == N - 2
    with pytest.raises(InvalidInput, match="no id in common"):
        samemind.compare({"A": a, "B": b.rename(index=str.upper)}, join="inner", **FAST)
    with pytest.raises(InvalidInput, match=r"No join is called 'iner'\. Did you mean 'inner'"):
        samemind.compare({"A": a, "B": b}, join="iner", **FAST)


def test_labels_are_joined_as_well() -> None:
    labels = np.arange(N) % 3
    logits = np.eye(3)[labels] + 0.1 * RNG.standard_normal((N, 3))
    order = RNG.permutation(N)
    a = samemind.Side(logits=logits, ids=IDS, kind="logits")
    b = samemind.Side(logits=logits[order], ids=IDS[order], kind="logits")
    named = pd.Series(labels[::-1], index=IDS[::-1])
    for given in (labels, named):
        found = samemind.compare({"A": a, "B": b}, labels=given, **FAST)
        assert found.models["clean_accuracy"].tolist() == [1.0, 1.0]
    with pytest.raises(InvalidInput, match="39 labels were given for 40 inputs"):
        samemind.compare({"A": a, "B": b}, labels=labels[:-1], **FAST)


def test_missing_values_are_refused_with_their_rows_or_left_out_on_all_sides() -> None:
    a, b = A.copy(), B.copy()
    a[3, 2] = a[7, 0] = b[7, 1] = np.nan
    with pytest.raises(InvalidInput, match=r"2 inputs \(2 of A, 1 of B\): rows 3, 7\. --drop-miss"):
        samemind.compare({"A": a, "B": b}, **FAST)
    kept = np.delete(np.arange(N), [3, 7])
    expected = samemind.measure(CKA)(A[kept], B[kept])
    masked = np.ma.masked_invalid(b)
    for second in (b, masked, pd.DataFrame(b), torch.tensor(b)):
        found = samemind.compare(
            {"A": a, "B": second}, drop_missing=True, measures=CKA, labels=np.arange(N) % 2, **FAST
        )
        assert score(found) == pytest.approx(expected, abs=1e-12)
        assert any("missing in 2 of 40 inputs" in note for note in found.notes)
    with pytest.raises(InvalidInput, match="none is left"):
        samemind.compare({"A": np.full((N, 2), np.nan), "B": B}, drop_missing=True, **FAST)


# -- files


def csv(path, values, ids) -> None:
    pd.DataFrame(values, index=ids).rename_axis("id").to_csv(path)


def parquet(path, values, ids) -> None:
    pd.DataFrame(values, index=ids).rename(columns=str).to_parquet(path)


def of_lists(path, values, ids) -> None:
    pd.DataFrame({"id": ids, "embedding": list(values)}).to_parquet(path)


def npz(path, values, ids) -> None:
    np.savez(path, embeddings=values, ids=ids)


def saved(path, values, ids) -> None:
    torch.save({"features": torch.tensor(values), "ids": ids.tolist()}, path)


def hdf5(path, values, ids) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        file["features"] = values
        file["ids"] = np.array([int(i[3:]) for i in ids])


WITH_IDS = {
    "a.csv": csv, "a.parquet": parquet, "lists.parquet": of_lists, "a.npz": npz, "a.pt": saved,
    "a.h5": hdf5,
}  # fmt: skip


@pytest.mark.parametrize("file", WITH_IDS)
def test_files_with_ids_are_joined(file: str, tmp_path) -> None:
    order = RNG.permutation(N)
    path, other = tmp_path / file, tmp_path / f"other-{file}"
    WITH_IDS[file](path, A, IDS)
    WITH_IDS[file](other, B[order], IDS[order])
    found = samemind.compare([f"A={path}", f"B={other}"], measures=CKA, **FAST)
    assert score(found) == pytest.approx(PLAIN, abs=1e-9)
    assert any("put in the order of A" in note for note in found.notes)


def test_sparse_matrices_tensors_and_shards_are_read(tmp_path) -> None:
    sparse = scipy.sparse.csr_matrix(np.where(np.abs(A) > 0.5, A, 0))
    scipy.sparse.save_npz(tmp_path / "s.npz", sparse)
    torch.save(torch.tensor(B), tmp_path / "b.pt")
    found = samemind.compare([str(tmp_path / "s.npz"), str(tmp_path / "b.pt")], **FAST)
    expected = samemind.measure(CKA)(sparse.toarray(), B)
    assert score(found) == pytest.approx(expected, abs=1e-9)
    folder = tmp_path / "shards"
    folder.mkdir()
    for i, part in enumerate(np.array_split(A, 12)):  # shard 10 comes after shard 9
        np.save(folder / f"part-{i}.npy", part)
    found = samemind.compare([f"A={folder}", f"B={tmp_path / 'b.pt'}"], measures=CKA, **FAST)
    assert score(found) == pytest.approx(PLAIN, abs=1e-9)
    np.save(folder / "part-12.npy", B)
    with pytest.raises(InvalidInput, match="differ: array is"):
        samemind.compare([f"A={folder}", f"B={tmp_path / 'b.pt'}"], **FAST)


def test_the_command_needs_no_word_for_arrays(tmp_path) -> None:
    np.save(tmp_path / "a.npy", A)
    csv(tmp_path / "b.csv", B, IDS)
    (tmp_path / "words.csv").write_text("id,first,second\nx,a,b\n")
    run = CliRunner().invoke
    done = run(app, ["compare", f"{tmp_path}/a.npy", f"{tmp_path}/b.csv", "--no-errors"])
    assert done.exit_code == 0, done.output
    assert "linear_cka" in done.output
    bad = run(app, ["compare", f"{tmp_path}/a.npy", f"{tmp_path}/words.csv"])
    assert bad.exit_code == 1


# -- references


def test_distances_are_compared_as_rsatoolbox_does_in_any_order(tmp_path) -> None:
    rsa = pytest.importorskip("rsatoolbox")
    brain = squareform(pdist(RNG.standard_normal((N, 9)), "cityblock"))
    own = squareform(pdist(A))
    order = RNG.permutation(N)
    pd.DataFrame(brain[order][:, order], index=IDS[order], columns=IDS[order]).to_csv(
        tmp_path / "brain.csv"
    )
    np.savez(tmp_path / "condensed.npz", rdm=squareform(brain))
    csv(tmp_path / "A.csv", A, IDS)
    names = ["rsa_euclidean_pearson", "rsa_euclidean_spearman"]
    rdms = [rsa.rdm.RDMs(squareform(m)[None]) for m in (own, brain)]
    expected = [float(rsa.rdm.compare(*rdms, method=m).squeeze()) for m in ("corr", "spearman")]
    for reference in ("rdm:brain.csv", "rdm:condensed.npz"):
        source, _, file = reference.partition(":")
        given = [f"A={tmp_path / 'A.csv'}", f"brain={source}:{tmp_path / file}"]
        found = samemind.compare(given, measures=names, permutations=20)
        for name, value in zip(names, expected, strict=True):
            assert score(found, name) == pytest.approx(value, abs=1e-6)
        assert found.scores["standard_error"].notna().all()
    usual = samemind.compare(given, permutations=0).scores.set_index("measure")
    assert "only the distances between inputs are known" in usual.loc["linear_cka", "reason"]
    nearest = np.argsort(brain + np.diag([np.inf] * N), 1)[:, :10]
    centred = A - A.mean(0)
    cosines = centred @ centred.T / np.outer(*[np.linalg.norm(centred, axis=1)] * 2)
    theirs = np.argsort(-cosines + np.diag([np.inf] * N), 1)[:, :10]
    shared = [len(set(p) & set(q)) for p, q in zip(nearest, theirs, strict=True)]
    jaccard = np.mean([s / (20 - s) for s in shared])
    assert usual.loc["knn_jaccard", "score"] == pytest.approx(jaccard, abs=1e-9)
    with_itself = samemind.compare(
        [given[1], given[1].replace("brain", "again", 1)], measures=names
    )
    assert with_itself.scores["score"].tolist() == pytest.approx([1, 1])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m + np.triu(np.ones_like(m)), "is zero, but the diagonal goes up to"),
        (lambda m: m + np.triu(m), "symmetric, but that of inputs"),
        (lambda m: m[:, :-1], "a square matrix"),
        (lambda m: np.where(m > 1, np.nan, m), "not finite"),
    ],
)
def test_what_is_no_matrix_of_distances_is_refused(change, words, tmp_path) -> None:
    matrix = squareform(pdist(A))
    np.save(tmp_path / "m.npy", change(matrix))
    np.save(tmp_path / "a.npy", A)
    with pytest.raises(InvalidInput, match=words):
        samemind.compare([f"rdm:{tmp_path / 'm.npy'}", f"{tmp_path / 'a.npy'}"], **FAST)


def test_a_matrix_of_distances_that_was_given_as_units_is_told() -> None:
    found = samemind.compare({"A": A, "m": squareform(pdist(A))}, **FAST)
    assert any("m is a square symmetric matrix" in note for note in found.notes)


def test_answers_of_people_are_a_model_that_predicts(tmp_path) -> None:
    counts = RNG.multinomial(50, [0.7, 0.2, 0.1], N)
    logits = np.log(RNG.dirichlet([2, 1, 1], N))
    np.savez(tmp_path / "people.npz", counts=counts)
    np.savez(tmp_path / "net.npz", logits=logits, features=A)
    (tmp_path / "truth.txt").write_text("\n".join(map(str, counts.argmax(1))))
    given = [f"net={tmp_path}/net.npz", f"people=labels:{tmp_path}/people.npz"]
    found = samemind.compare(given, permutations=0).scores.set_index("measure")
    agree = float((counts.argmax(1) == logits.argmax(1)).mean())
    assert found.loc["agreement", "score"] == pytest.approx(agree)
    assert 0 < found.loc["jensen_shannon_similarity", "score"] < 1
    numbers = samemind.compare([given[0], f"truth=labels:{tmp_path}/truth.txt"], **FAST)
    assert score(numbers, "agreement") == pytest.approx(agree)
    both = samemind.compare([*given, f"twin={tmp_path}/net.npz"], **FAST).scores
    reasons = both[(both["measure"] == CKA) & both["score"].isna()]["reason"]
    assert len(reasons) == 2
    assert all("only predictions are known" in reason for reason in reasons)
    np.savez(tmp_path / "bad.npz", counts=counts - 10)
    with pytest.raises(InvalidInput, match="Answers are counted"):
        samemind.compare([given[0], f"labels:{tmp_path}/bad.npz"], **FAST)


def test_a_model_may_be_called_labels() -> None:
    moved = pd.DataFrame(B[::-1], index=IDS[::-1])
    models = {"labels": pd.DataFrame(A, index=IDS), "B": moved}
    for labels in (np.arange(N) % 3, pd.Series(np.arange(N) % 3, index=IDS)):
        found = samemind.compare(models, labels=labels, measures=CKA, **FAST)
        assert score(found) == pytest.approx(PLAIN)

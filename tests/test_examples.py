"""The scripts under examples/ run as they stand and print what they promise."""

import runpy
import sys
from pathlib import Path

import pytest
import torch

from samemind.measures.base import MEASURES

EXAMPLES = Path(__file__).parents[1] / "examples"


def output_of(name: str, monkeypatch, tmp_path: Path, capsys) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [name])
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    return capsys.readouterr().out


def test_every_example_is_run_here() -> None:
    assert {p.stem for p in EXAMPLES.glob("*.py")} == {
        "add_your_own_measure",
        "are_my_retrained_models_still_the_same",
        "compare_timm_models_on_a_folder",
    }


def test_two_timm_models_on_a_folder(monkeypatch, tmp_path: Path, capsys) -> None:
    told = output_of("compare_timm_models_on_a_folder", monkeypatch, tmp_path, capsys)
    assert len(list((tmp_path / "pictures").rglob("*.png"))) == 48
    assert "debiased_linear_cka" in told
    assert "Above what shuffled inputs reach: " in told


def test_a_measure_of_your_own(monkeypatch, tmp_path: Path, capsys) -> None:
    try:
        told = output_of("add_your_own_measure", monkeypatch, tmp_path, capsys)
        member = MEASURES["dimensionality_ratio"]
        # What the promise tests ask of every measure that ships.
        assert member.has_standard_error == (member.no_standard_error is None)
        pair = member.pair(*torch.randn(2, 50, 6, generator=torch.Generator().manual_seed(0)))
        order = torch.randperm(50, generator=torch.Generator().manual_seed(1))
        assert member.score(pair.permuted(order)) == pytest.approx(member.score(pair), abs=1e-9)
        assert member.floor(pair, permutations=3) is None
    finally:
        MEASURES._members.pop("dimensionality_ratio", None)
    assert "dimensionality_ratio" in told


def test_retrained_models(monkeypatch, tmp_path: Path, capsys) -> None:
    told = output_of("are_my_retrained_models_still_the_same", monkeypatch, tmp_path, capsys)
    assert "continued: accuracy 0.9" in told
    assert "anew: accuracy 0.9" in told
    assert told.count("Within the tolerated 3 %: ") == 2

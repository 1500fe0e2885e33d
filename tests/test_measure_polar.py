"""Polar factors and nuclear norms, by decomposition and without one, against the SVD."""

import pytest
import torch
from torch import Tensor

from measure_examples import generator
from samemind.sides import polar

torch.set_num_threads(1)

SPECTRA = {
    "a power law": torch.arange(1, 151, dtype=torch.float64) ** -1,
    "twelve orders of magnitude": torch.logspace(0, -12, 150, dtype=torch.float64),
    "less than full rank": torch.cat([torch.linspace(1, 0.1, 50), torch.zeros(100)]).double(),
    "all equal": torch.full((150,), 3e-5, dtype=torch.float64),
    "one above the rest": torch.tensor([1.0] + [1e-3] * 149, dtype=torch.float64),
}


def matrix_with(values: Tensor, shape: tuple[int, int]) -> Tensor:
    g = generator(21)
    left, right = (
        torch.linalg.qr(torch.randn(size, len(values), generator=g, dtype=torch.float64)).Q
        for size in shape
    )
    return (left * values) @ right.T


@pytest.mark.parametrize("shape", [(150, 150), (400, 150), (150, 160)])
@pytest.mark.parametrize("spectrum", SPECTRA)
def test_the_iteration_has_the_nuclear_norm_of_the_singular_values(
    spectrum: str, shape: tuple[int, int]
) -> None:
    matrix = matrix_with(SPECTRA[spectrum], shape)
    found = (polar.newton_schulz_polar_factor(matrix) * matrix).sum()
    exact = torch.linalg.svdvals(matrix).sum()
    assert float(found) == pytest.approx(float(exact), rel=1e-10)
    assert float(found) <= float(exact) * (1 + 1e-13)


def test_the_iteration_is_the_rotation_of_the_singular_vectors() -> None:
    matrix = matrix_with(SPECTRA["a power law"], (400, 150))
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    found = polar.newton_schulz_polar_factor(matrix)
    torch.testing.assert_close(found, left @ right, rtol=0, atol=1e-11)
    turned = polar.newton_schulz_polar_factor(matrix.T)
    torch.testing.assert_close(turned, found.T, rtol=0, atol=1e-11)


@pytest.mark.parametrize("shape", [(5, 3), (150, 400), (400, 150)])
def test_a_decomposition_has_the_factor_and_the_norm_of_the_iteration(
    shape: tuple[int, int],
) -> None:
    matrix = torch.randn(shape, generator=generator(4), dtype=torch.float64)
    factor, norm = polar.polar_factor(matrix)
    torch.testing.assert_close(factor, polar.newton_schulz_polar_factor(matrix), rtol=0, atol=1e-9)
    exact = torch.linalg.svdvals(matrix).sum()
    assert float(norm) == pytest.approx(float(exact), rel=1e-12)
    assert float(polar.nuclear_norm(matrix)) == pytest.approx(float(exact), rel=1e-12)


@pytest.mark.gpu
def test_a_gpu_has_the_nuclear_norm_of_the_cpu() -> None:
    for spectrum in SPECTRA.values():
        matrix = matrix_with(spectrum, (400, 150))
        found = float(polar.nuclear_norm(matrix.cuda()))
        assert found == pytest.approx(float(polar.nuclear_norm(matrix)), rel=1e-7)

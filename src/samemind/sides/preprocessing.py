"""What every measure does to an array first: checking, centring, products, nuclear norms.

Sums run in float64 whatever the input; the large products run in float32 when the arrays are
large, where that costs less than 1e-6 of a score, and in float64 otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from math import frexp, isfinite
from typing import TYPE_CHECKING

from samemind.errors import InvalidInput, UndefinedScore
from samemind.lazy import torch
from samemind.sides.held import as_tensor

if TYPE_CHECKING:
    from torch import Tensor

    from samemind.arrays import Array

#: Arrays of at most this many numbers are worked on in float64: it costs nothing that is felt.
SMALL = 2**21
#: Numbers that fit into a processor's cache, twice.
CACHED = 2**18
#: Powers of two beyond which the sum of squares of an array leaves float64.
LARGEST_EXPONENT = 480
#: Rows that are widened to float64 at a time: the piece stays near the processor's cache.
ROWS_AT_ONCE = 512


def as_matrix(values: Array, what: str) -> Tensor:
    """The array as a 2-D floating-point tensor on its own device, checked to be usable.

    Half precision is widened to float32, integers to float64. NaN and +∞ are refused, as is −∞
    except in logits, where it stands for a probability of zero.

    **Raises:** `InvalidInput` for another shape, an empty array or a value that is not a number.
    """
    tensor = as_tensor(values, what)
    if tensor.ndim != 2:
        how = "Flatten it, or average over space, so that each input has one row"
        if tensor.ndim < 2:
            how = "Of one value per input give (N, 1), a row for each: values.reshape(-1, 1)"
        raise InvalidInput(
            f"The {what} of a model has the shape (inputs, values), but {tuple(tensor.shape)} "
            f"was found. {how}."
        )
    if 0 in tensor.shape:
        raise InvalidInput(
            f"The {what} has the shape {tuple(tensor.shape)}, so there is nothing to compare. "
            f"Give at least one input and one value per input."
        )
    if tensor.is_complex():
        raise InvalidInput(f"The {what} is complex ({tensor.dtype}). Give real numbers.")
    if tensor.dtype not in (torch.float32, torch.float64):
        tensor = tensor.to(torch.float32 if tensor.is_floating_point() else torch.float64)
    _refuse_non_finite(tensor, what)
    return tensor


def within_range(values: Tensor) -> tuple[Tensor, int]:
    """An array whose numbers can be squared, and the power of two that it was divided by for it.

    Divided exactly, and only where its largest number lies beyond 2**±480: in float64.
    """
    if values.dtype != torch.float64:
        return values, 0
    largest = max(abs(float(extreme)) for extreme in torch.aminmax(values))
    exponent = frexp(largest)[1]
    if largest == 0 or abs(exponent) <= LARGEST_EXPONENT:
        return values, 0
    half = exponent // 2  # 2**exponent itself may lie beyond float64
    return values * 2.0**-half * 2.0 ** (half - exponent), exponent


def _refuse_non_finite(tensor: Tensor, what: str) -> None:
    # The extremes pass NaN and infinity on, and finding them is one pass over the array.
    low, high = (float(extreme) for extreme in torch.aminmax(tensor))
    if isfinite(high) and isfinite(low):
        return
    is_bad = ~torch.isfinite(tensor)
    if what == "logits":
        is_bad &= tensor != -float("inf")
        is_bad |= (tensor == -float("inf")).all(1, keepdim=True)
    if not bool(is_bad.any()):
        return
    row, column = (int(index) for index in torch.nonzero(is_bad)[0])
    n_bad = int(is_bad.sum())
    values = "1 value that is" if n_bad == 1 else f"{n_bad:,} values that are"
    raise InvalidInput(
        f"The {what} has {values} not finite, the first "
        f"({float(tensor[row, column])}) in row {row}, column {column}. "
        f"Find out where the model overflows; nothing is dropped or replaced here."
    )


def working_precision(n_values: int, dtype: torch.dtype) -> torch.dtype:
    """float64 for float64 and for small arrays, float32 for large float32 arrays."""
    return torch.float64 if dtype == torch.float64 or n_values <= SMALL else torch.float32


def column_means(values: Tensor) -> Tensor:
    """The mean of each column in float64, `(D,)`; of a constant column, exactly its value."""
    # Sums run over differences from the first row: no digits are lost to a mean far from zero,
    # and a constant column has differences of exactly zero.
    first = values[0].double()
    total = torch.zeros_like(first)
    for start in range(0, len(values), ROWS_AT_ONCE):
        total += (values[start : start + ROWS_AT_ONCE].double() - first).sum(0)
    return first + total / len(values)


def row_lengths(values: Tensor, means: Tensor) -> Tensor:
    """The norm of each row after centring, in float64, `(N,)`; all zeros for constant columns."""
    squares = torch.empty(len(values), dtype=torch.float64, device=values.device)
    for start in range(0, len(values), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        squares[rows] = (values[rows].double() - means).square_().sum(1)
    last_digit = 2 * torch.finfo(values.dtype).eps * means.abs()
    # Summed over the units that is a bound for all; where it is met, each unit is looked at.
    if float(squares.mean()) <= float(last_digit.square().sum()):
        is_constant = _is_rounding(values, means, last_digit)
        return torch.where(is_constant, 0.0, squares.sqrt())
    return squares.sqrt()


def _is_rounding(values: Tensor, means: Tensor, last_digit: Tensor) -> Tensor:
    """Whether no unit varies by more than the last digit of its format, `()` boolean."""
    squares = torch.zeros_like(means)
    for start in range(0, len(values), ROWS_AT_ONCE):
        squares += (values[start : start + ROWS_AT_ONCE].double() - means).square_().sum(0)
    return (squares / len(values) <= last_digit.square()).all()


def centred_and_scaled(
    values: Tensor, means: Tensor, norm: Tensor, precision: torch.dtype
) -> Tensor:
    """`(values - means) / norm` with one rounding, `(N, D)`; zeros where the norm is zero."""
    factor = torch.where(norm > 0, 1 / norm, 0.0)
    scaled = torch.empty(values.shape, dtype=precision, device=values.device)
    for start in range(0, len(values), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        scaled[rows] = (values[rows].double() - means) * factor
    return scaled


def entropies(first: Tensor, second: Tensor) -> Tensor:
    """The entropy of the mean of two distributions in nats, row by row, `(N,)` in float64."""
    n, n_classes = first.shape
    found = torch.empty(n, dtype=torch.float64, device=first.device)
    at_once = min(n, max(16, CACHED // n_classes)) if first.device.type == "cpu" else n
    # Five passes over a piece that stays in the cache, instead of one over memory for each.
    mean = torch.empty(at_once, n_classes, dtype=first.dtype, device=first.device)
    logarithm = torch.empty_like(mean)
    smallest = torch.finfo(first.dtype).tiny
    for start in range(0, n, at_once):
        rows = slice(start, start + at_once)
        size = len(first[rows])
        piece, logs = mean[:size], logarithm[:size]
        torch.add(first[rows], second[rows], out=piece).mul_(0.5)
        torch.clamp_min(piece, smallest, out=logs).log_()  # a probability of 0 adds 0, not NaN
        found[rows] = -piece.mul_(logs).sum(1).double()
    return found


def product(first: Tensor, second: Tensor) -> Tensor:
    """`first @ second.T`, `(A, B)` from `(A, K)` and `(B, K)`, by the faster library for it."""
    is_large = first.shape[0] * second.shape[0] * first.shape[1] > SMALL
    is_float32_on_cpu = first.dtype == torch.float32 and first.device.type == "cpu"
    with _full_precision():
        if is_large and is_float32_on_cpu and onednn_is_faster():
            return _onednn_product(first, second)
        return first @ second.T


@contextmanager
def _full_precision() -> Iterator[None]:
    """Float32 products in float32, whatever training was allowed: TF32 keeps three digits."""
    before = torch.get_float32_matmul_precision()
    if before == "highest":
        yield
        return
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _onednn_product(first: Tensor, second: Tensor) -> Tensor:
    linear = torch.ops.mkldnn._linear_pointwise
    return linear(first.contiguous(), second.contiguous(), None, "none", [], "")


@cache
def onednn_is_faster() -> bool:
    """Whether oneDNN beats the default library at float32 products here; tried once."""
    from time import process_time

    if not torch.backends.mkldnn.is_available():
        return False
    trial = torch.linspace(-1, 1, 512 * 1024).reshape(512, 1024)
    seconds = []
    for multiply in (_onednn_product, lambda a, b: a @ b.T):
        try:
            multiply(trial, trial)
        except (RuntimeError, AttributeError):  # a build of torch without this operator
            return False
        start = process_time()
        for _ in range(4):
            multiply(trial, trial)
        seconds.append(process_time() - start)
    return seconds[0] < seconds[1]


def squared_norm(matrix: Tensor) -> Tensor:
    """The sum of the squared entries, `()`: rows in the matrix's precision, total in float64."""
    return torch.linalg.vecdot(matrix, matrix).sum(dtype=torch.float64)


def row_products(first: Tensor, second: Tensor) -> Tensor:
    """The product of each row of one with the same row of the other, `(N,)` in float64."""
    return torch.linalg.vecdot(first, second).double()


def symmetric_eigenvalues(matrix: Tensor) -> Tensor:
    """The eigenvalues of a symmetric float64 matrix, ascending, on the matrix's device."""
    if matrix.device.type != "cpu":
        return torch.linalg.eigvalsh(matrix)
    from scipy.linalg import LinAlgError, eigvalsh

    try:
        values = eigvalsh(matrix.numpy(), driver="evd", check_finite=False, overwrite_a=True)
    except LinAlgError as error:
        raise UndefinedScore(
            f"The eigenvalues of a {matrix.shape[0]}-wide covariance were not found ({error}). "
            f"Look for extreme values in the representations."
        ) from error
    return torch.from_numpy(values)


def singular_values(matrix: Tensor) -> Tensor:
    """The singular values of a matrix in float64, ascending, `(min(A, B),)`.

    Small matrices go through the singular value decomposition itself. Large ones through the
    eigenvalues of the product with the own transpose on the smaller side, which is three to five
    times cheaper: squaring costs half the digits of the *smallest* values, at most 1.5e-8 of
    the largest each, and their sum keeps its own.
    """
    if min(matrix.shape) <= 128:
        return torch.linalg.svdvals(matrix.double()).flip(0)
    return symmetric_eigenvalues(smaller_gram(matrix)).clamp_min(0).sqrt()


def smaller_gram(matrix: Tensor) -> Tensor:
    """The product of a matrix with its transpose on its smaller side, in float64.

    On a CPU only the lower triangle is filled, which is what `symmetric_eigenvalues` reads.
    """
    is_wide = matrix.shape[0] <= matrix.shape[1]
    if matrix.device.type != "cpu":
        narrow = (matrix if is_wide else matrix.T).double()
        return narrow @ narrow.T
    from scipy.linalg import get_blas_funcs

    # Half the operations of a general product. LAPACK counts along columns: the transpose of
    # what lies here, and the upper triangle there is the lower one here.
    values = matrix.double().numpy().T
    (dsyrk,) = get_blas_funcs(("syrk",), (values,))
    return torch.from_numpy(dsyrk(1.0, values, trans=is_wide, lower=False).T)


def symmetric_eigenvectors(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues, ascending, and eigenvectors in columns of a symmetric float64 matrix."""
    if matrix.device.type != "cpu":
        values, vectors = torch.linalg.eigh(matrix)
        return values, vectors
    from scipy.linalg import eigh

    values, vectors = eigh(matrix.numpy(), driver="evd", check_finite=False, overwrite_a=True)
    return torch.from_numpy(values), torch.from_numpy(vectors)

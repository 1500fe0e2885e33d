"""Inputs that are no images: sound, video, tables, several tensors at once, tensors by name.

And batches of anything, as a `DataLoader` gives them: they are read once and kept, so that every
network looks at the same inputs in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from samemind.errors import InvalidInput
from samemind.inputs.images import Images, given_images
from samemind.lazy import torch
from samemind.sides.held import as_tensor
from samemind.sides.predictions import checked_labels

LABELS = ("labels", "label")
"""Entries of a batch by name that are its class numbers, and no argument of the network."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Tensors(Images):
    """N inputs that networks are given as they are: a tensor, a tuple, or tensors by name.

    - `tensors`: of each the first axis is the inputs.
    """

    tensors: Any = None
    remark: str = ""
    source: Any = field(default_factory=list)

    @property
    def is_folder(self) -> bool:
        return False

    @property
    def shape(self) -> None:
        """None: they are no images."""
        return None

    def remarks(self) -> list[str]:
        """How they were read, where that could have been otherwise."""
        return [self.remark] if self.remark else []

    def read(
        self,
        positions: Sequence[int] | np.ndarray,
        *,
        size: int | None = None,
        crop: float = 1.0,
        channels: int = 0,
    ) -> Any:
        """The inputs at these positions, as they were given; the rest is of images."""
        del size, crop, channels
        rows = torch.from_numpy(self.indices[np.asarray(positions, dtype=np.int64)])
        return _mapped(self.tensors, lambda tensor: tensor[rows.to(tensor.device)])


def given_inputs(inputs: Any, labels: Any = None) -> Images:
    """Inputs that are in memory, or come in batches: images (N, channels, H, W), or any others.

    An array or a list is one input per entry. A tuple is several arguments of the networks, a
    mapping arguments by name. Whatever else can be iterated, such as a `DataLoader`, gives batches
    of these; a batch of two whose second is (n,) whole numbers is inputs and their labels.

    **Raises:** `InvalidInput` for no inputs, entries of unequal length, or labels that do not fit.

    **Cost:** memory for all inputs.
    """
    remark = ""
    if _is_batched(inputs):
        inputs, found = _joined(inputs)
        labels = found if labels is None else labels
        remark = "" if found is None else "Labels are the second entry of each batch."
    inputs, found = _without_labels(inputs)
    labels = found if labels is None else labels
    tensors = _mapped(inputs, lambda values: as_tensor(values, "inputs"))
    if isinstance(tensors, torch.Tensor) and tensors.ndim == 4:
        return given_images(tensors, labels)
    n = _count(tensors)
    numbers = None if labels is None else checked_labels(labels, None).cpu().numpy()
    if numbers is not None and len(numbers) != n:
        raise InvalidInput(f"{len(numbers)} labels were given for {n} inputs.")
    return Tensors(
        name="inputs", indices=np.arange(n), labels=numbers, tensors=tensors, remark=remark
    )


def _mapped(tensors: Any, make: Callable[[Any], Any]) -> Any:
    if isinstance(tensors, Mapping):
        return {str(name): _mapped(value, make) for name, value in tensors.items()}
    if isinstance(tensors, tuple):
        return tuple(_mapped(value, make) for value in tensors)
    return make(tensors)


def _leaves(tensors: Any) -> list[Any]:
    found: list[Any] = []
    _mapped(tensors, found.append)
    return found


def _count(tensors: Any) -> int:
    leaves = _leaves(tensors)
    counts = sorted({len(t) if t.ndim else 0 for t in leaves})
    shapes = ", ".join(str(tuple(t.shape)) for t in leaves)
    if len(counts) != 1 or counts[0] == 0 or any(t.ndim < 2 for t in leaves[:1]):
        raise InvalidInput(
            f"Inputs have one entry each along their first axis, and at least two axes, but "
            f"{shapes or 'nothing'} was found. Give (N, …) of as many inputs each."
        )
    return counts[0]


# -- batches


def _is_batched(inputs: Any) -> bool:
    if isinstance(inputs, (Mapping, tuple, str)) or hasattr(inputs, "shape"):
        return False
    if isinstance(inputs, list):
        first = inputs[0] if inputs else None
        return isinstance(first, (Mapping, tuple)) or getattr(first, "ndim", 0) >= 4
    if hasattr(inputs, "__array__") or hasattr(inputs, "__dlpack__"):
        return False
    return isinstance(inputs, Iterable) or hasattr(inputs, "__getitem__")


def _batches(inputs: Any) -> Iterable[Any]:
    """Batches as they come; the entries of a torch `Dataset` are put together first."""
    utils = torch.utils.data
    if isinstance(inputs, utils.Dataset) and not isinstance(inputs, utils.IterableDataset):
        return utils.DataLoader(inputs, batch_size=256)
    return inputs


def _joined(inputs: Any) -> tuple[Any, Any]:
    """All batches under each other, and their labels where they have some."""
    parts, labels, kinds = [], [], set()
    for i, given in enumerate(_batches(inputs)):
        batch, found = _without_labels(given)
        batch = _mapped(tuple(batch) if isinstance(batch, list) else batch, _tensor)
        sizes = [len(t) if t.ndim else 0 for t in _leaves(batch)]
        if not sizes or not min(sizes):
            raise InvalidInput(f"Batch {i} holds no inputs. Leave empty batches out.")
        parts.append(batch)
        labels.append(found)
        kinds.add(_kind(batch))
        if len(kinds) > 1:
            first, other = sorted(kinds, key=lambda kind: kind != _kind(parts[0]))
            raise InvalidInput(f"Batches differ: the first is {first}, batch {i} is {other}.")
    if not parts:
        raise InvalidInput("The inputs gave no batch. An iterator can be gone through once only.")
    has_labels = all(found is not None for found in labels)
    together = torch.cat([_tensor(found) for found in labels]) if has_labels else None
    return _under_each_other(parts), together


def _tensor(values: Any) -> Any:
    return as_tensor(values, "inputs")


def _kind(batch: Any) -> str:
    if isinstance(batch, Mapping):
        return ", ".join(f"{name} {_kind(value)}" for name, value in batch.items())
    if isinstance(batch, tuple):
        return " and ".join(map(_kind, batch))
    return f"(n, {', '.join(map(str, batch.shape[1:]))})"


def _under_each_other(parts: Sequence[Any]) -> Any:
    first = parts[0]
    if isinstance(first, Mapping):
        return {name: _under_each_other([part[name] for part in parts]) for name in first}
    if isinstance(first, tuple):
        return tuple(_under_each_other(each) for each in zip(*parts, strict=True))
    return torch.cat(list(parts))


def _without_labels(batch: Any) -> tuple[Any, Any]:
    """A batch without its labels, and those; None where it has none."""
    if isinstance(batch, Mapping):
        name = next((n for n in LABELS if n in batch), None)
        rest = {n: v for n, v in batch.items() if n != name}
        return rest, None if name is None else batch[name]
    if isinstance(batch, (tuple, list)) and len(batch) == 2 and _are_numbers(batch[1]):
        return batch[0], batch[1]
    if isinstance(batch, list) and len(batch) == 1:
        return batch[0], None
    return batch, None


def _are_numbers(values: Any) -> bool:
    kind = getattr(values, "dtype", None)
    is_whole = kind is not None and not str(kind).removeprefix("torch.").startswith(
        ("float", "bfloat", "complex")
    )
    return is_whole and getattr(values, "ndim", 0) == 1

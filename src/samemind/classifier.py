"""A classifier: pixels in [0, 1] in, logits and representation out.

The classifier owns its normalisation, so that attacks and inversion live in pixel space. The
representation has one definition for every architecture: what the last linear layer reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from samemind.architectures.heads import check_logits, read_by_linear, refuse_nan
from samemind.arrays import logits_in
from samemind.errors import InvalidInput
from samemind.execution.unchanged import unchanged
from samemind.registry import did_you_mean

if TYPE_CHECKING:
    from samemind.architectures.base import Architecture
    from samemind.datasets.base import Dataset


class Output(NamedTuple):
    """What a classifier says of N inputs; a network that predicts nothing has no classes."""

    logits: Tensor  # (N, C); (N, 0) of an encoder
    representation: Tensor  # (N, D): head(representation) is logits, where there is a head


class Classifier(nn.Module):
    """A network on pixels in [0, 1] that also gives what its last linear layer reads.

    **Arguments:**

    - `network`: maps normalised images (N, channels, H, W) to logits (N, C), be they in a tuple,
      a mapping or a dataclass: what is named `logits` there, else the first (N, C) tensor.
    - `head`: the dotted name of its last linear layer.
    - `mean`, `std`: per channel, of the normalisation the network was trained with.
    """

    def __init__(
        self, network: nn.Module, *, head: str, mean: Sequence[float], std: Sequence[float]
    ) -> None:
        super().__init__()
        self._take(network, mean, std)
        self.head_name = head
        self.head = submodule(network, head)

    def _take(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        if any(s <= 0 for s in std):
            raise InvalidInput(f"Standard deviations are above 0, but {tuple(std)} was given.")
        self.network = network
        self.mean: Tensor
        self.std: Tensor
        for name, values in (("mean", mean), ("std", std)):
            # Whatever the default type of the process is: it is not the network's.
            held = torch.tensor(values, dtype=torch.float32).reshape(1, -1, 1, 1)
            self.register_buffer(name, held, persistent=False)
        self._read_by_head: list[Tensor] = []
        self._is_watched = False
        self.note = ""  # what a reader must know of how the head was found

    @property
    def representation_is(self) -> str:
        """In words, what of the network is its representation."""
        return f"what {self.head_name} reads"

    def taken(self, batch: Any, device: torch.device) -> Any:
        """A batch as it is given to `forward`: pixels in [0, 1] on the device."""
        from samemind.arrays import as_pixels

        return as_pixels(batch, keeps_float64=True).to(device)

    def _remember(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._read_by_head.append(read_by_linear(inputs[0]))

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watches the head for many forward passes, as training does; else each watches its own.

        No hook outlives this: what it kept would pile up with every pass of the network's owner.
        """
        hook = self.head.register_forward_pre_hook(self._remember)
        self._is_watched = True
        try:
            yield
        finally:
            self._is_watched = False
            hook.remove()

    def forward(self, images: Tensor) -> Output:
        if not self._is_watched:
            with self.watched():
                return self._output(images)
        return self._output(images)

    def _output(self, images: Tensor) -> Output:
        self._read_by_head.clear()
        try:
            logits = logits_in(self.network(self.normalised(images)))
            if len(self._read_by_head) != 1 or self._read_by_head[0].ndim != 2:
                shapes = [tuple(r.shape) for r in self._read_by_head]
                raise InvalidInput(
                    f"The head should read one (N, D) representation for each batch, but it read "
                    f"{shapes or 'nothing'}. Name the last linear layer of the network as head."
                )
            return Output(logits, self._read_by_head[0])
        finally:
            # Nothing of a batch may outlive its forward pass: the graph would stay in memory.
            self._read_by_head.clear()

    def normalised(self, images: Tensor) -> Tensor:
        """Images as the network reads them, in its own precision."""
        precision = precision_of(self.network)
        if precision is None or precision == images.dtype:
            return (images - self.mean) / self.std
        wider = torch.promote_types(images.dtype, self.mean.dtype)
        normalised = (images.to(wider) - self.mean) / self.std
        return normalised.to(precision)


def precision_of(network: nn.Module) -> torch.dtype | None:
    """The floating-point type of a network's weights; None for one that has none."""
    return next((p.dtype for p in network.parameters() if p.is_floating_point()), None)


def submodule(network: nn.Module, name: str) -> nn.Module:
    """The layer of a dotted name, or an error that suggests one."""
    try:
        return network.get_submodule(name)
    except AttributeError:
        known = [n for n, _ in network.named_modules() if n]
        raise InvalidInput(
            f"{type(network).__name__} has no layer '{name}'. {did_you_mean(name, known)}"
            f"Its last layers: {', '.join(known[-5:])}."
        ) from None


class OneHead(nn.Module):
    """The network whose output is what its layer `head` returns.

    **Raises:** `InvalidInput` for a name that no layer has.
    """

    def __init__(self, network: nn.Module, head: str) -> None:
        super().__init__()
        submodule(network, head)
        self.network = network
        self.name = head

    def forward(self, *inputs: Any, **named: Any) -> Tensor:
        """The output of the head, (N, C), where it runs once."""
        found: list[Any] = []
        layer = self.network.get_submodule(self.name)
        hook = layer.register_forward_hook(lambda _, __, output: found.append(output))
        try:
            self.network(*inputs, **named)
        finally:
            hook.remove()
        if len(found) != 1 or not isinstance(found[0], Tensor):
            raise InvalidInput(
                f"The layer '{self.name}' of {type(self.network).__name__} was to be its head, but "
                f"it ran {len(found)} times for one batch. Name a layer that runs once, and "
                f"returns logits."
            )
        return found[0].flatten(1) if found[0].shape[2:].numel() == 1 else found[0]


def new_classifier(
    architecture: Architecture,
    dataset: Dataset,
    *,
    random_seed: int,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Classifier:
    """A freshly initialised classifier of an architecture for a dataset's classes.

    **Arguments:**

    - `mean`, `std`: of its normalisation, where they are not those of the dataset.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(random_seed)
        network = architecture.build(len(dataset.classes), dataset.image_size)
    return Classifier(
        network, head=architecture.head, mean=mean or dataset.mean, std=std or dataset.std
    )


def outputs(
    classifier: Classifier, images: Tensor, *, batch_size: int, device: torch.device
) -> Output:
    """Logits and representations of all images, in evaluation mode, on the CPU.

    In float32, and in float64 for a network in float64. The classifier comes out as it went in.

    **Cost:** one forward pass per image; memory for one batch on the device.
    """
    return outputs_of(classifier, images.split(batch_size), device=device)


@torch.no_grad()
def outputs_of(
    classifier: Classifier, batches: Iterable[Tensor], *, device: torch.device
) -> Output:
    """As `outputs`, for images that come in batches."""
    from samemind.execution.devices import full_float32, memory_reused

    logits, representations = [], []
    with unchanged(classifier), memory_reused(), full_float32(), classifier.watched():
        classifier.to(device).eval()
        for batch in batches:
            out = classifier(classifier.taken(batch, device))
            logits.append(_kept(out.logits))
            representations.append(_kept(out.representation))
    return Output(torch.cat(logits), torch.cat(representations))


def _kept(values: Tensor) -> Tensor:
    return (values if values.dtype == torch.float64 else values.float()).cpu()


def check_head(classifier: Classifier, images: Tensor) -> None:
    """Raises unless the head turns the representation into exactly the logits."""
    with unchanged(classifier), torch.no_grad():
        out = classifier.eval()(images)
        refuse_nan(classifier.network, out.logits)
        check_logits(classifier.network, classifier.head, out.representation, out.logits)

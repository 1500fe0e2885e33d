"""A model that is ready to be compared, and how a network becomes one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from samemind.lazy import torch
from samemind.networks.normalising import Normalised
from samemind.networks.wrappers import layers_of

if TYPE_CHECKING:
    from torch import nn

    from samemind.classifier import Classifier


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """A classifier that is ready to be compared, and what is known of it.

    - `image_size`: the pixels that it must be given; None where any size will do.
    - `crop`: the share of the resized image that its crop keeps, for image folders.
    - `note`: what a reader of the result must know, such as "random weights".
    - `normalised`: by what its images are, and where that is known from.
    - `is_in_training`: whether it was lent in training mode; it is read in evaluation mode.
    - `kind`: of its source, one of `samemind.networks.options`; '' where it is none of them.
    """

    name: str
    reference: str
    classifier: Classifier
    architecture: str
    image_size: int | None = None
    crop: float = 1.0
    channels: int = 3
    note: str = ""
    normalised: Normalised | None = None
    is_in_training: bool = False
    kind: str = ""

    @property
    def told(self) -> str:
        """What a reader must know of it, in one note; '' where there is nothing."""
        return "; ".join(filter(None, [self.note, getattr(self.classifier, "note", "")]))

    @property
    def reads_pixels(self) -> bool:
        """Whether it normalises pixels in [0, 1] itself; else it is given inputs as they are."""
        return self.normalised is not None

    @property
    def reading(self) -> dict[str, Any]:
        """What is read of it: two scores under different readings are different scores."""
        weights = next(self.classifier.network.parameters(), None)
        mean, std = (
            ", ".join(f"{float(v):.4g}" for v in values.flatten())
            for values in (self.classifier.mean, self.classifier.std)
        )
        return {
            "model": self.name,
            "representation": f"what {self.head} reads",
            "image_size": self.image_size,
            "crop": self.crop,
            "mean": mean,
            "std": std,
            "normalised_by": self.normalised.source if self.normalised else "",
            "precision": "" if weights is None else str(weights.dtype).removeprefix("torch."),
        }

    @property
    def head(self) -> str:
        """The name of its head, without what the network is wrapped in."""
        plain = {full: name for name, full, _ in layers_of(self.classifier.network)}
        return plain.get(self.classifier.head_name, self.classifier.head_name)

    @property
    def n_parameters(self) -> int:
        return sum(p.numel() for p in self.classifier.network.parameters())


@dataclass(frozen=True, kw_only=True)
class Loading:
    """How references become models.

    - `architecture`: of checkpoint files (one for each with commas between, where they differ):
      a name from `samemind list architectures`, `timm:NAME`, `python:MODULE:FUNCTION`
      or `torchvision:NAME`; None recognises those of samemind by their keys.
    - `classes`: of checkpoint files; None reads it from the file.
    - `normalise`: a name in `samemind.datasets.base.NORMALISATIONS`, a dataset's, 'none', or None
      for what the source says (one for each with commas between, where they differ).
    - `mean`, `std`: the normalisation in numbers per channel, for pixels in [0, 1] or 0 … 255.
    - `head`: the name of the layer that makes the logits, of a network that has several heads.
    - `shape`: (channels, size) of the inputs, where all have one and it is known.
    - `dataset`: of the inputs; files of registered architectures are taken to be trained on it.
    - `has_random_weights`: random weights where a name has no weights at hand, instead of an
      error.
    - `allows_download`: whether timm and torchvision may fetch weights.
    - `is_trusted`, `part`: of checkpoint files; see `samemind.checkpoints.reading.read_weights`.
    """

    architecture: str | None = None
    classes: int | None = None
    image_size: int | None = None
    normalise: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    head: str | None = None
    shape: tuple[int, int] | None = None
    dataset: str | None = None
    has_random_weights: bool = False
    allows_download: bool = False
    is_trusted: bool = False
    part: str | int | None = None
    random_seed: int = 0


def n_channels(classifier: Classifier) -> int:
    """The number of channels that a classifier normalises."""
    mean = classifier.mean
    assert isinstance(mean, torch.Tensor)
    return mean.shape[1]


def constants_of(classifier: Classifier) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The means and deviations per channel of a classifier."""
    mean, std = (tuple(v.flatten().tolist()) for v in (classifier.mean, classifier.std))
    return mean, std


def classifier_of(
    network: nn.Module,
    loading: Loading,
    normalised: Normalised,
    *,
    shape: tuple[int, int, int],
    head: str | None = None,
) -> Classifier:
    """The network with its normalisation; its head is found and verified where not known.

    The network stays in the mode that it is in: whoever looks puts it into evaluation mode.
    """
    from samemind.classifier import Classifier, check_head, precision_of
    from samemind.networks.lent import with_head

    images = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))
    note = ""
    if head is None or loading.head:
        few = images.to(precision_of(network) or images.dtype)
        network, head, note = with_head(network, few, loading.head)
    mean, std = normalised.mean, normalised.std
    classifier = Classifier(network, head=head, mean=mean, std=std)
    classifier.note = note
    if n_channels(classifier) == shape[0]:
        check_head(classifier, images)
    return classifier

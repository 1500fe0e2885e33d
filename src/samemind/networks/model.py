"""A model that is ready to be compared, and how a network becomes one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from samemind.errors import InvalidInput
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
        mean, std = (
            ", ".join(f"{float(v):.4g}" for v in values.flatten()) if self.reads_images else ""
            for values in (self.classifier.mean, self.classifier.std)
        )
        return {
            "model": self.name,
            "representation": self.representation,
            "image_size": self.image_size,
            "crop": self.crop,
            "mean": mean,
            "std": std,
            "normalised_by": self.normalised.source if self.normalised else "",
            "precision": self.precision,
        }

    @property
    def representation(self) -> str:
        """In words, what of the network is its representation."""
        head = f"what {self.head} reads"
        return head if self.classifier.head_name else self.classifier.representation_is

    @property
    def head(self) -> str:
        """The name of its head, without what the network is wrapped in."""
        plain = {full: name for name, full, _ in layers_of(self.classifier.network)}
        return plain.get(self.classifier.head_name, self.classifier.head_name)

    @property
    def reads_images(self) -> bool:
        """Whether its inputs are pixels in [0, 1], which are normalised for it."""
        return getattr(self.classifier, "reads_images", True)

    @property
    def is_classifier(self) -> bool:
        """Whether it turns images into logits by one linear head, with nothing special about it."""
        return not hasattr(self.classifier, "where")

    @property
    def precision(self) -> str:
        """In what its weights are, or that it computes under autocast; '' without weights."""
        autocast = getattr(self.classifier, "autocast", None)
        weights = next(self.classifier.network.parameters(), None)
        found = "" if weights is None else str(weights.dtype).removeprefix("torch.")
        return f"autocast-{autocast}".replace("torch.", "") if autocast else found

    @property
    def n_parameters(self) -> int:
        return sum(p.numel() for p in self.classifier.network.parameters())


@dataclass(frozen=True, kw_only=True)
class Loading:
    """How references become models; see `samemind.networks.each` for what may differ among them.

    - `architecture`: of checkpoint files (one for each with commas between, where they differ):
      a name from `samemind list architectures`, `timm:NAME`, `python:MODULE:FUNCTION`
      or `torchvision:NAME`; None recognises those of samemind by their keys.
    - `classes`: of checkpoint files; None reads it from the file.
    - `normalise`: a name in `samemind.datasets.base.NORMALISATIONS`, a dataset's, 'none', or None
      for what the source says (one for each with commas between, where they differ).
    - `mean`, `std`: the normalisation in numbers per channel, for pixels in [0, 1] or 0 … 255.
    - `image_size`, `crop`: the pixels that a network is given, and the share of the resized picture
      that its crop keeps; None for what the source says.
    - `representation`: a layer, or a field of what the network returns, with `[0]` for one token
      and `#2` for the second time that a reused layer runs; None for what the rule says, see
      `samemind.networks.representations`.
    - `precision`: float64, float32, bfloat16 or float16, of weights and inputs; or
      autocast-bfloat16 or autocast-float16.
    - `forward`: called with the network and a batch, where calling the network is not enough.
    - `head`: the name of the layer that makes the logits, of a network that has several heads.
    - `shape`: (channels, size) of the inputs, where all have one and it is known.
    - `example`: the first of the inputs, where they are no images.
    - `dataset`: of the inputs; files of registered architectures are taken to be trained on it.
    - `has_random_weights`: random weights where a name has no weights at hand, instead of an
      error.
    - `allows_download`: whether timm and torchvision may fetch weights.
    - `is_trusted`, `part`: of checkpoint files; see `samemind.checkpoints.reading.read_weights`.
    """

    architecture: Any = None
    classes: int | None = None
    image_size: Any = None
    crop: Any = None
    normalise: Any = None
    mean: Any = None
    std: Any = None
    head: Any = None
    representation: Any = None
    precision: Any = None
    forward: Any = None
    shape: tuple[int, int] | None = None
    example: Any = None
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


PRECISIONS = ("float64", "float32", "bfloat16", "float16")
AUTOCAST = "autocast-"


def precision_named(name: str | None) -> tuple[torch.dtype | None, torch.dtype | None]:
    """The type of weights, and the type under autocast, that a precision names; None for neither.

    **Raises:** `InvalidInput` for another name.
    """
    if not name:
        return None, None
    short = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32", "fp64": "float64"}
    plain = name.removeprefix(AUTOCAST)
    plain = short.get(plain, plain)
    is_autocast = name.startswith(AUTOCAST)
    if plain not in (PRECISIONS[2:] if is_autocast else PRECISIONS):
        raise InvalidInput(
            f"No precision is called '{name}'. Known: {', '.join(PRECISIONS)}, "
            f"{AUTOCAST}bfloat16, {AUTOCAST}float16."
        )
    dtype = getattr(torch, plain)
    return (None, dtype) if is_autocast else (dtype, None)


def classifier_of(
    network: nn.Module,
    loading: Loading,
    normalised: Normalised,
    *,
    shape: tuple[int, int, int],
    head: str | None = None,
) -> Classifier:
    """The network with its normalisation and what is read of it, which is found and verified.

    The network stays in the mode that it is in: whoever looks puts it into evaluation mode.

    **Raises:** `InvalidInput` where nothing says what its representation is.
    """
    images = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))
    return reading(network, images, loading, normalised, head=head)


def reading(
    network: nn.Module,
    inputs: Any,
    loading: Loading,
    normalised: Normalised | None,
    *,
    head: str | None = None,
) -> Classifier:
    """A network as what gives logits and representation; a `Classifier` where it has a head.

    **Arguments:**

    - `inputs`: two or more, as `Images` gives them; their values do not matter.
    - `normalised`: None for inputs that are no images.
    - `head`: the name of its last linear layer, where that is known.
    """
    from samemind.classifier import Classifier, check_head
    from samemind.networks.encoders import Encoder, Where
    from samemind.networks.lent import with_head
    from samemind.networks.representations import verified, where_read

    dtype, autocast = precision_named(loading.precision)
    network = network if dtype is None else network.to(dtype)
    note = ""
    if loading.head:
        network, head = with_head(network, loading.head)
    options: dict[str, Any] = {"call": loading.forward, "autocast": autocast}
    if normalised is not None:
        options |= {"mean": normalised.mean, "std": normalised.std}
    first = Where(said="its output", field="")
    as_given = Encoder(network, first, has_logits=False, **options)
    fits = normalised is None or n_channels(as_given) == inputs.shape[1]
    if head is not None and not loading.representation:
        said = f"what {head.removeprefix('network.')} reads"
        where, has_logits = Where(said=said, layer=head, reads=True), True
    else:
        prepared = as_given.normalised(inputs) if fits else inputs
        found = where_read(network, prepared, asked=loading.representation, call=loading.forward)
        network, where, has_logits, note = found
    is_plain = where.reads and autocast is None and loading.forward is None
    if is_plain and normalised is not None and where.layer is not None:
        made = Classifier(network, head=where.layer, mean=normalised.mean, std=normalised.std)
        made.note = note
        if fits:
            check_head(made, inputs)
        return made
    made = Encoder(network, where, has_logits=has_logits, **options)
    made.note = note
    return verified(made, inputs) if fits else made

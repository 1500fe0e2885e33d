"""Channel means and deviations that networks are trained with, each under one name.

Datasets take theirs from here, so that a name means the same numbers everywhere: in training, in
`import` and `init`, in `compare` and in Python.
"""

NORMALISATIONS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "inception": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    # The deviations within an image, averaged, as is widespread: the robustness library, and
    # nearly all training code that follows kuangliu/pytorch-cifar.
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    # The deviations over all pixels of the training images, as timm has them.
    "cifar10-pixels": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
    "svhn": ((0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970)),
    # Wong et al. (2018), arXiv:1805.12514, and the verified networks that follow them.
    "convex-adversarial": ((0.485, 0.456, 0.406), (0.225, 0.225, 0.225)),
    "mnist": ((0.1307,), (0.3081,)),
    "fashion_mnist": ((0.2860,), (0.3530,)),
    "digits": ((0.3056,), (0.3761,)),
}
"""Name → (means, deviations) per channel, for pixels in [0, 1]."""

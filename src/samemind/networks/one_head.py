"""A network with several heads, seen as the classifier that one of them makes of it."""

from samemind.classifier import OneHead as OneHead

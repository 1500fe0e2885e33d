"""What was given of one model on one input set, and how the parts made of it are kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar

from samemind.errors import InvalidInput, UndefinedScore
from samemind.lazy import np, torch
from samemind.sides import preprocessing
from samemind.sides.held import index_of, only_counts, refuse_recounted
from samemind.sides.predictions import Predictions, checked_labels, read_predictions

if TYPE_CHECKING:
    from torch import Tensor

    from samemind.arrays import Array

Part = TypeVar("Part")


class Prepared:
    """Keeps the parts that were made, by name."""

    def __init__(self) -> None:
        self._parts: dict[str, Any] = {}

    def once(self, name: str, make: Callable[[], Part]) -> Part:
        """The part of this name: made at the first call, kept for the later ones."""
        if name not in self._parts:
            self._parts[name] = make()
        return self._parts[name]

    def release(self, *names: str) -> None:
        """Frees these parts; they are made again if someone asks for them."""
        for name in names:
            self._parts.pop(name, None)


def _ids_of(tables: Mapping[str, Any]) -> Any:
    """The index of the tables of one model, `(N,)`; None where they have none.

    **Raises:** `InvalidInput` for rows that are called otherwise in another of them.
    """
    held = {what: index for what, one in tables.items() if (index := index_of(one)) is not None}
    refuse_recounted([what for what, one in tables.items() if only_counts(one)], held)
    if not held:
        return None
    first, *others = held
    for other in others:
        if list(held[other]) != list(held[first]):
            raise InvalidInput(
                f"The index of the {other} is another than that of the {first}, or in another "
                f"order, so that rows do not belong together. Give `{other}.loc[{first}.index]`."
            )
    return held[first]


class Given(Prepared):
    """The arrays of one model, and twins of it that look at them in another order."""

    def __init__(
        self,
        *,
        representation: Array | None = None,
        logits: Array | None = None,
        labels: Array | None = None,
        precision: torch.dtype | None = None,
        kind: str | None = None,
        groups: Array | None = None,
        ids: Any = None,
    ) -> None:
        super().__init__()
        tables = {"representation": representation, "logits": logits, "labels": labels}
        #: What each input is called, `(N,)`, where that is known.
        self.ids: Any = _ids_of(tables) if ids is None else ids
        #: Whether its table came with an index that only counts the rows.
        self.only_counts = (
            ids is None and self.ids is None and any(map(only_counts, tables.values()))
        )
        self._representation, self._exponent = None, 0
        if representation is not None:
            self._representation, self._exponent = preprocessing.within_range(
                preprocessing.as_matrix(representation, "representation")
            )
        read = Predictions(None, None) if logits is None else read_predictions(logits, kind)
        self._logits, self._decisions, self.note = read
        self._labels = None if labels is None else checked_labels(labels, self._known_classes)
        self._groups = None if groups is None else checked_labels(groups, None)
        self._precision = precision
        self._parent: Self | None = None
        self._order: Tensor | None = None
        counts = {
            what: len(values)
            for what, values in (
                ("representation", self._representation),
                ("logits", self._logits),
                ("decisions", self._decisions),
                ("labels", self._labels),
                ("groups", self._groups),
            )
            if values is not None
        }
        if not counts.keys() - {"labels", "groups"}:
            raise InvalidInput("A side was given neither a representation nor logits. Give one.")
        if len(set(counts.values())) > 1:
            raise InvalidInput(
                f"The arrays of one model differ in their number of inputs "
                f"({', '.join(f'{what} {n}' for what, n in counts.items())}). "
                f"Take all of them from one pass over one input set."
            )
        self.n_inputs: int = next(iter(counts.values()))
        if ids is not None and len(ids) != self.n_inputs:
            raise InvalidInput(f"{len(ids)} ids were given for {self.n_inputs} inputs.")

    def labelled(self, labels: Array) -> Self:
        """This side with these labels, where it has none of its own.

        **Raises:** `InvalidInput` for labels that do not fit, or differ from its own.
        """
        given = checked_labels(labels, self._known_classes)
        if len(given) != self.n_inputs:
            raise InvalidInput(f"{len(given)} labels were given for {self.n_inputs} inputs.")
        if self._labels is None:
            twin = self._twin(torch.arange(self.n_inputs, device=self.device))
            twin._labels = given
            return twin
        if not torch.equal(self._labels.cpu(), given.cpu()):
            raise InvalidInput(
                "The labels that were given differ from those that a side has. Leave one out."
            )
        return self

    def permuted(self, order: Tensor) -> Self:
        """This side with its rows in another order, sharing all that was prepared."""
        return self._twin(order)

    def looking_at(self, rows: Tensor) -> Self:
        """Some rows of this side, sharing all that was prepared; one may be named repeatedly.

        Parts that are made of all inputs (`whole`) stay those of all inputs, so this is for what
        is known row by row, such as predictions.
        """
        twin = self._twin(rows)
        twin.n_inputs = len(rows)
        twin._labels = None if self._labels is None else self._labels.to(rows.device)[rows]
        twin._groups = None if self._groups is None else self._groups.to(rows.device)[rows]
        return twin

    def restricted(self, rows: Tensor) -> Self:
        """The model on some of the inputs only, as if they were all there are."""
        arrays = {
            "representation": self.representation[rows] if self.has_representation else None,
            "logits": self._said[rows] if self.has_logits else None,
            "labels": None if self._labels is None else self._labels[rows],
            "groups": None if self._groups is None else self._groups.to(rows.device)[rows],
        }
        ids = None if self.ids is None else np.asarray(self.ids)[rows.cpu().numpy()]
        some = type(self)(**arrays, precision=self._precision, kind=self._kind, ids=ids)
        some._exponent += self.exponent
        return some

    @property
    def _said(self) -> Tensor:
        """The logits, or the decisions where there is nothing else."""
        return self.predictions if self.has_only_decisions else self.logits

    @property
    def _kind(self) -> str:
        return "decisions" if self.has_only_decisions else "logits"

    @property
    def _known_classes(self) -> int | None:
        return None if self._logits is None else self._logits.shape[1]

    @property
    def has_only_decisions(self) -> bool:
        """Whether class numbers are all that is known of the predictions."""
        return self._root._decisions is not None

    @property
    def predictions(self) -> Tensor:
        """The class with the largest logit, `(N,)`; of equal ones, the first."""
        return self.rows(
            "predictions",
            lambda side: side.logits.argmax(1) if side._decisions is None else side._decisions,
        )

    def _twin(self, order: Tensor) -> Self:
        twin = type(self).__new__(type(self))
        Prepared.__init__(twin)
        twin._representation = twin._logits = twin._decisions = None
        twin.note = self.note
        twin.ids, twin.only_counts = None, False  # those of another order would be others
        # A label belongs to the input, not to the model's answer, and so does its group.
        twin._labels, twin._groups = self._labels, self._groups
        twin._precision = self._precision
        twin._parent, twin._order = self, order
        twin.n_inputs = self.n_inputs
        return twin

    def in_float64(self) -> Self:
        """The same model and inputs with every product in float64: slower, for verification."""
        root = self._root
        exact = type(self)(
            representation=root._representation,
            logits=root._said if root.has_logits else None,
            labels=self._labels,
            precision=torch.float64,
            kind=root._kind,
            groups=self._groups,
        )
        exact._exponent += root._exponent
        return exact if self._order is None else exact.permuted(self._order)

    @property
    def device(self) -> torch.device:
        """Where the arrays lie."""
        arrays = (self._root._representation, self._root._logits, self._root._decisions)
        return next(array.device for array in arrays if array is not None)

    @property
    def exponent(self) -> int:
        """The power of two that the representation was divided by to be squared; 0 as a rule.

        Numbers beyond 1e±144 have squares that float64 does not hold.
        """
        return self._root._exponent

    @property
    def has_representation(self) -> bool:
        return self._root._representation is not None

    @property
    def has_logits(self) -> bool:
        return self._root._logits is not None or self._root._decisions is not None

    @property
    def has_labels(self) -> bool:
        return self._labels is not None

    @property
    def _root(self) -> Self:
        return self if self._parent is None else self._parent._root

    def rows(self, name: str, make: Callable[[Self], Tensor]) -> Tensor:
        """A part with one row per input, made once; a permuted side reorders its parent's rows.

        `make` gets the side. A measure that needs a part of its own adds it so.
        """
        parent, order = self._parent, self._order
        if parent is None or order is None:
            return self.once(name, lambda: make(self))
        return self.once(name, lambda: parent.rows(name, make)[order])

    def whole(self, name: str, make: Callable[[Self], Part]) -> Part:
        """A part that does not depend on the order of the inputs, made once."""
        return self._root.once(name, lambda: make(self._root))

    def rows_last(self, name: str, make: Callable[[Self], Tensor]) -> Tensor:
        """As `rows`, for a part whose last axis is the inputs."""
        parent, order = self._parent, self._order
        if parent is None or order is None:
            return self.once(name, lambda: make(self))
        return self.once(name, lambda: parent.rows_last(name, make)[..., order])

    def square(self, name: str, make: Callable[[Self], Tensor]) -> Tensor:
        """As `rows`, for a part with a row and a column per input."""
        parent, order = self._parent, self._order
        if parent is None or order is None:
            return self.once(name, lambda: make(self))
        return self.once(name, lambda: parent.square(name, make)[order][:, order])

    @property
    def representation(self) -> Tensor:
        """The representation as given, divided by 2 to the `exponent`, `(N, D)`."""
        return self.rows("representation", lambda side: side._given_representation())

    def _given_representation(self) -> Tensor:
        if self._representation is None:
            raise InvalidInput(
                "A measure on representations was asked for, but only logits were given. "
                "Give the representation too, or choose a measure that reads logits."
            )
        return self._representation

    @property
    def logits(self) -> Tensor:
        """The logits as given, `(N, C)`."""
        return self.rows("logits", lambda side: side._given_logits())

    def _given_logits(self) -> Tensor:
        if self._decisions is not None:
            raise UndefinedScore(
                "It reads probabilities, but class numbers (N,) were given, which are decisions. "
                "Give the logits (N, C), or choose a measure of decisions, such as agreement."
            )
        if self._logits is None:
            raise InvalidInput(
                "A measure on predictions was asked for, but only representations were given. "
                "Give the logits too, or choose a measure that reads the representation."
            )
        return self._logits

    @property
    def groups(self) -> Tensor | None:
        """Which rows belong together, such as the words of one text, `(N,)`; None for none."""
        return None if self._groups is None else self._groups.to(self.device)

    @property
    def labels(self) -> Tensor:
        """The correct classes, `(N,)`."""
        if self._labels is None:
            raise InvalidInput("This measure needs the correct classes. Give `labels` as well.")
        return self._labels.to(self.device)

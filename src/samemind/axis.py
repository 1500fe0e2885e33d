"""What the models of a study are compared along: ε unless the study declares another axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

#: Captions and sentences are written for ε. These are the words in which it is meant otherwise.
_ROBUSTNESS = ("with robustness", "over robustness")


@dataclass(frozen=True)
class Axis:
    """An axis with its words. Models are compared within one place along it.

    Within samemind the place stands in the column `epsilon` of every table, whatever the axis is;
    tables that are written, pages and figures have it under the name of the axis (`named`).

    - `name`: of the column, such as "step".
    - `text`: a noun for sentences and for the axes of figures, such as "training step".
    - `symbol`: what stands before a value, as in "step = 100".
    """

    name: str = "epsilon"
    text: str = "ε"
    symbol: str = "ε"

    @property
    def is_epsilon(self) -> bool:
        return self == EPSILON

    def told(self, words: str) -> str:
        """Words that speak of ε as words that speak of this axis.

        >>> Axis("step", "training step", "step").told("rises from ε = 0 to the highest ε")
        'rises from step = 0 to the highest training step'
        """
        if self.is_epsilon:
            return words
        for robustness in _ROBUSTNESS:
            words = words.replace(robustness, f"{robustness.partition(' ')[0]} the {self.text}")
        return words.replace("ε = ", f"{self.symbol} = ").replace("ε", self.text)

    def named(self, table: pd.DataFrame) -> pd.DataFrame:
        """A table with the place along the axis under the name of the axis.

        The radius of the training of a model stands in `epsilon` again.
        """
        if self.is_epsilon:
            return table
        return table.rename(columns={"epsilon": self.name, "trained_epsilon": "epsilon"})

    def placed(self, table: pd.DataFrame) -> pd.DataFrame:
        """The reverse for tables of scores of a study: the place in the column `epsilon`."""
        if self.is_epsilon or self.name not in table:
            return table
        return table.drop(columns="epsilon").rename(columns={self.name: "epsilon"})


EPSILON = Axis()

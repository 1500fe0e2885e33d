"""Help in panels: options under a heading that says what they are about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from typer.core import TyperCommand

#: Of what no panel names.
OTHERS = "Options"


class Panelled(TyperCommand):
    """A command whose help groups its options; see `panelled`."""

    panels: ClassVar[Mapping[str, Sequence[str]]] = {}

    # Typer may bring a Click of its own, so that its types are not named here.
    def format_options(self, ctx: Any, formatter: Any) -> None:
        panel_of = {name: panel for panel, names in self.panels.items() for name in names}
        held: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                panel = panel_of.get(str(parameter.name), OTHERS)
                if parameter.param_type_name == "argument":
                    panel = "Arguments"
                held.setdefault(panel, []).append(record)
        for panel in ("Arguments", *self.panels, OTHERS):
            if panel in held:
                with formatter.section(panel):
                    formatter.write_dl(held[panel])


def panelled(panels: Mapping[str, Sequence[str]], *also: type[TyperCommand]) -> type[Panelled]:
    """The class of a command with these panels, and of what else it is.

    **Arguments:** `panels`: names of parameters under each heading.
    """
    return type("Panelled", (Panelled, *also), {"panels": panels})

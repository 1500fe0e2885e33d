"""Folders and names of Hugging Face's: what models of images and of texts are opened with alike."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from samemind.errors import CheckpointError, InvalidInput, MissingExtra
from samemind.files.reading import is_folder


def library(what: str, extra: str) -> Any:
    """The transformers library.

    **Raises:** `MissingExtra` without it: what needs it, and the extra that brings it.
    """
    try:
        import transformers
    except ImportError:
        raise MissingExtra(
            f"{what} need the extra '{extra}': pip install 'samemind[{extra}]'."
        ) from None
    return transformers


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """The library's reports and bars are not for whoever compares models; its errors are read."""
    from transformers.utils import logging

    level, shows_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if shows_bars:
            logging.enable_progress_bar()


class Place(NamedTuple):
    """Where a model is: a folder, or a name that is on this machine, or that may be fetched."""

    given: str
    is_local: bool
    allows_download: bool

    @property
    def name(self) -> str:
        """What the model is called."""
        return Path(self.given).resolve().name if self.is_local else self.given

    @property
    def options(self) -> dict[str, Any]:
        """How the library opens it: nothing in a folder is executed."""
        return {
            "local_files_only": self.is_local or not self.allows_download,
            "trust_remote_code": False,
        }


def place_of(given: str, allows_download: bool) -> Place:
    """Where the model of a reference is: a folder before a name.

    **Raises:** `InvalidInput` for a path that leads nowhere.
    """
    is_local = is_folder(given)
    is_path = "\\" in given or given.count("/") > 1 or given.startswith((".", "/"))
    if is_path and not is_local:
        raise InvalidInput(f"There is no folder {given}. Check the path.")
    return Place(given, is_local, allows_download)


def configuration(transformers: Any, place: Place) -> tuple[Any, str]:
    """A model's configuration, and the first class that it names; '' where it names none.

    **Raises:** `InvalidInput` where there is no model.
    """
    try:
        config = transformers.AutoConfig.from_pretrained(place.given, **place.options)
    except Exception as error:  # whatever a library makes of a file that is not what it says
        raise InvalidInput(_not_found(place, error)) from None
    return config, next(iter(getattr(config, "architectures", None) or ()), "")


def _not_found(place: Place, error: Exception) -> str:
    if place.is_local:
        return f"The folder {place.given} holds no model of Hugging Face's: {first_of(error)}"
    if not place.allows_download:
        return (
            f"There is no folder '{place.given}', and no model of this name is on this machine. "
            f"Check the path, or allow the download with --download."
        )
    return f"No model '{place.given}' could be had: {first_of(error)}"


def trained(cls: Any, place: Place, *, spared: str = "") -> tuple[Any, bool]:
    """The network of a class with its weights, in evaluation mode, and whether some are missing.

    **Arguments:** `spared`: the name of a module whose weights may be missing; else none may.

    **Raises:** `CheckpointError` for weights that cannot be read, do not fit or are not there:
    they would be random numbers.
    """
    given = place.given
    try:
        network, found = cls.from_pretrained(given, **place.options, output_loading_info=True)
    except Exception as error:  # as above
        raise CheckpointError(
            f"The weights of hf:{given} cannot be read: {first_of(error)}"
        ) from None
    missing = sorted(found.get("missing_keys") or ())
    others = [name for name in missing if spared not in name.split(".")]
    wrong = sorted(str(one) for one in found.get("mismatched_keys") or ())
    if others or wrong:
        what = f"lack {others[0]}" if others else f"do not fit at {wrong[0]}"
        raise CheckpointError(
            f"The weights of hf:{given} {what} ({len(others) + len(wrong)} in all), which would be "
            f"random numbers. Save the whole model, with the head that its config.json names."
        )
    return network.eval(), bool(missing)


def first_of(error: Exception) -> str:
    """The first sentence of what a library says, on one line."""
    said = " ".join(str(error).split())[:300] or type(error).__name__
    return f"{said.split('. ')[0].rstrip('.')}."

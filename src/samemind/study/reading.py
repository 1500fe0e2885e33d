"""Study files: read, checked, and explained where something in them is wrong."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from samemind.errors import InvalidInput, UnknownName, UnreadableFile
from samemind.files.reading import is_file, read_text
from samemind.registry import did_you_mean
from samemind.study.grid import Study

MOST_DOTS = 100
MOST_OF_STUDY = 2**22  # bytes; a thousand imported models take less than one


def read_study(source: str | Path) -> Study:
    """The study of a TOML file, or one that ships with samemind, by its name.

    **Raises:** `InvalidInput` or `UnknownName`, naming the key, what it holds and what would be
    right.
    """
    path = study_path(source)
    try:
        text = read_text(path, most=MOST_OF_STUDY).replace("\r\n", "\n")
        _check_depth(text)
        content = tomllib.loads(text)
    except UnreadableFile as error:
        raise InvalidInput(f"The study file {path} cannot be read: {error.reason}.") from None
    except (ValueError, RecursionError) as error:
        # Numbers of thousands of digits and brackets nested as deep are neither.
        raise InvalidInput(f"{path} is not valid TOML: {error}. Mend that line.") from None
    try:
        study = Study.model_validate({"name": path.stem} | content)
    except ValidationError as error:
        raise InvalidInput(_explained(path, error)) from None
    study._text = text
    study._folder = path.parent
    return study


def _check_depth(text: str) -> None:
    """Raises `ValueError` for keys of very many parts, over which the parser takes minutes."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip()[:1] == "#":
            continue
        if max(part.count(".") for part in line.split(",")) > MOST_DOTS:
            raise ValueError(f"line {number} has more than {MOST_DOTS} dots in a row")


def study_path(source: str | Path) -> Path:
    """The file of a study: a path that exists, or the name of one that ships."""
    path = Path(source)
    if path.suffix == ".toml":
        if is_file(path):
            return path
        here = [p.name for p in path.parent.glob("*.toml") if p.name != "pyproject.toml"]
        near = did_you_mean(path.name, here)
        raise InvalidInput(
            f"There is no study file {path}. {near}`samemind list studies` shows those that ship; "
            f"`samemind init {path.name}` writes a new one."
        )
    shipped = shipped_studies()
    if str(source) in shipped:
        return shipped[str(source)]
    raise UnknownName(
        f"No study is called '{source}'. {did_you_mean(str(source), list(shipped))}Known: "
        f"{', '.join(shipped)}. A study of your own is a .toml file: give its path."
    )


def shipped_studies() -> dict[str, Path]:
    """The files of the studies that ship, by name."""
    folder = Path(str(files("samemind.studies")))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def _explained(path: Path, error: ValidationError) -> str:
    """All that is wrong with a study file: key, what was found and what would be right."""
    lines = []
    for found in error.errors():
        key = ".".join(str(part) for part in found["loc"]) or "the study"
        message = found["msg"].removeprefix("Value error, ").rstrip(".")
        if found["type"] == "extra_forbidden":
            message = f"there is no such key. {_keys_near(found['loc'])}".rstrip(" .")
        elif found["type"] == "missing":
            message = "this key is needed and is missing"
        else:
            message += f" (found: {found['input']!r})"
        lines.append(f"  {key}: {message}.")
    return f"The study {path} cannot be run:\n" + "\n".join(lines)


def _keys_near(location: tuple[int | str, ...]) -> str:
    model: Any = Study
    for part in location[:-1]:
        annotation = getattr(model, "model_fields", {}).get(part)
        model = annotation.annotation if annotation else None
    keys = list(getattr(model, "model_fields", {}))
    return f"{did_you_mean(str(location[-1]), keys)}Known: {', '.join(keys)}" if keys else ""

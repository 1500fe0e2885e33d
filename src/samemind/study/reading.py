"""Study files: read, checked, and explained where something in them is wrong."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from math import isfinite, prod
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from samemind.errors import InvalidInput, UnknownName, UnreadableFile, reason
from samemind.files.reading import is_file, read_text
from samemind.registry import did_you_mean
from samemind.study.grid import Study

MOST_DOTS = 100
SHOWN = 20  # errors of one file
MOST_VALUES = 50_000  # in a file; an imported model has about a dozen
MOST_MODELS = 10_000
MOST_NUMBER = 2**63 - 1
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
        raise InvalidInput(f"{path} is not valid TOML: {reason(error)}. Mend that line.") from None
    try:
        _check_values(content)
    except ValueError as error:
        raise InvalidInput(f"The study {path} cannot be run: {reason(error)}.") from None
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


def _check_values(content: dict[str, Any]) -> None:
    """Raises `ValueError` for numbers and grids that no study has and that would take for ever."""
    waiting: list[tuple[str, Any]] = list(content.items())
    count = 0
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [(f"{key}.{inner}", held) for inner, held in value.items()]
        elif isinstance(value, list):
            waiting += [(key, held) for held in value]
        elif isinstance(value, float) and not isfinite(value):
            raise ValueError(f"{key[:200]} holds {value}, and numbers must be finite")
        elif isinstance(value, int) and abs(value) > MOST_NUMBER:
            raise ValueError(f"{key[:200]} holds a number of {len(str(abs(value))):,} digits")
        count += 1
        if count + len(waiting) > MOST_VALUES:
            raise ValueError(f"it holds more than {MOST_VALUES:,} values")
    grid = [content.get(name, [0]) for name in ("architectures", "epsilons", "random_seeds")]
    along = content.get("axis", {})
    grid.append(along.get("values") or [0] if isinstance(along, dict) else [0])
    models = prod(len(axis) for axis in grid if isinstance(axis, list))
    if models > MOST_MODELS:
        raise ValueError(
            f"its grid is of {models:,} models, and {MOST_MODELS:,} are the most: pairs grow with "
            f"the square of the models of one ε"
        )


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
    """What is wrong with a study file: key, what was found and what would be right."""
    lines = []
    for found in error.errors()[:SHOWN]:
        key = ".".join(str(part) for part in found["loc"]) or "the study"
        message = found["msg"].removeprefix("Value error, ").rstrip(".")
        if found["type"] == "extra_forbidden":
            message = f"there is no such key. {_keys_near(found['loc'])}".rstrip(" .")
        elif found["type"] == "missing":
            message = "this key is needed and is missing"
        else:
            message += f" (found: {_shortened(repr(found['input']))})"
        lines.append(f"  {key}: {message}.")
    return f"The study {path} cannot be run:\n" + "\n".join(lines)


def _shortened(text: str) -> str:
    return text if len(text) <= 300 else f"{text[:300]}…"


def _keys_near(location: tuple[int | str, ...]) -> str:
    model: Any = Study
    for part in location[:-1]:
        annotation = getattr(model, "model_fields", {}).get(part)
        model = annotation.annotation if annotation else None
        # Of a section that may be left out, the section.
        model = next((one for one in get_args(model) if hasattr(one, "model_fields")), model)
    keys = list(getattr(model, "model_fields", {}))
    return f"{did_you_mean(str(location[-1]), keys)}Known: {', '.join(keys)}" if keys else ""

"""Small result files: whole or not at all, and JSON without the numbers that JSON does not have."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from errors import TuneError


def write_text(path: Path, text: str) -> None:
    """Write a file beside its place and move it there. Raises `TuneError` when it cannot be written; nothing is left then."""
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise TuneError(f"{path} cannot be written ({error.strerror or error}); make room or name another file, and try again") from error


def write_json(path: Path, value: Any) -> None:
    """`write_text` of JSON, indented; a figure that does not exist (NaN) becomes null."""
    write_text(path, json.dumps(plain(value), ensure_ascii=False, indent=1, allow_nan=False) + "\n")


def plain(value: Any) -> Any:
    """`value` with NaN and infinity as None and floats at six decimals."""
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: plain(entry) for name, entry in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(entry) for entry in value]
    return value


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """An object from a file. Raises `TuneError` that ends with `remedy`, the next step."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TuneError(f"{path} is missing or not JSON ({error}); {remedy}") from error
    return content


def read_yaml(path: Path) -> Any:
    """A YAML file, such as a recipe. Raises `TuneError`."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise TuneError(f"{path}: the recipe cannot be read ({str(error).splitlines()[0]}); give a YAML file") from error

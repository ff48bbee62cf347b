"""Treatments that a file declares: a mapping of names to the keys that each adds, in YAML, TOML or JSON."""

from __future__ import annotations

import json
import os
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from crystallize.errors import DefinitionError, MissingExtraError

Changes = dict[str, dict[str, Any]]

_SHAPE = "a file of treatments maps each name to the keys that it adds, as JSON would have it: {}"
_EXAMPLE = '{"large": {"size": 64}}'


def changes_of_file(path: str | os.PathLike[str], beside: Path | None) -> tuple[Path, Changes]:
    """Return which file was read, and what it declares: name of a treatment -> the keys that it adds.

    Parameters
    ----------
    path : path
        Relative ones are looked up in `beside`. The suffix says the format: .yaml, .yml, .toml or .json.
    beside : Path or None
        Directory of the file that names `path`; None for that of the code that called the library.

    Raises
    ------
    DefinitionError
        If the file can't be read, is not what its suffix says, declares something twice, or holds something
        else than names of treatments and their keys.
    MissingExtraError
        If it is a YAML file, and PyYAML is not installed.
    """
    file = (_directory_of_caller() if beside is None else beside) / path
    parse = _FORMATS.get(file.suffix.lower())
    if parse is None:
        raise DefinitionError(
            f"the treatments of {str(path)!r} are in no known format; a file of treatments ends in "
            f"{', '.join(_FORMATS)}"
        )
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as fault:
        raise DefinitionError(
            f"the treatments of {str(path)!r} can't be read: {fault.strerror or fault} ({file}); a path is "
            "relative to the file that declares the treatments"
        ) from None
    except UnicodeDecodeError as fault:
        raise DefinitionError(f"{file} is not UTF-8: {fault}") from None
    try:
        return file, _checked(parse(text))
    except RecursionError:
        raise DefinitionError(f"{file} is nested too deeply, or holds itself; give plain data") from None
    except ValueError as fault:
        raise DefinitionError(f"{file}, {fault}") from None


def _directory_of_caller() -> Path:
    """Return the directory of the file whose code called the library; without one, the working directory."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and (frame.f_globals.get("__name__") or "").partition(".")[0] == "crystallize":
        frame = frame.f_back
    file = None if frame is None else frame.f_globals.get("__file__")
    return Path.cwd() if file is None else Path(file).absolute().parent


def _checked(declared: Any) -> Changes:
    shape = _SHAPE.format(_EXAMPLE)
    if not isinstance(declared, dict) or not declared:
        given = "nothing" if declared is None or declared == {} else f"a {type(declared).__name__}"
        raise ValueError(f"which holds {given}: {shape}")
    for name, change in declared.items():
        if not isinstance(name, str):
            raise ValueError(f"treatment {name!r}: its name is no string; write it in quotes")
        if not isinstance(change, dict):
            raise ValueError(f"treatment {name!r} is {change!r:.80}, which adds no keys: {shape}")
        for key in change:
            if not isinstance(key, str):
                raise ValueError(f"treatment {name!r}: key {key!r} is no string; write it in quotes")
    return declared


# Formats. Each raises a `ValueError` that says the line, or the key.


def _json(text: str) -> Any:
    def refuse(constant: str) -> Any:
        raise ValueError(f"which holds {constant}: JSON has no such number; a YAML or TOML file may hold it")

    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=refuse)
    except json.JSONDecodeError as fault:
        raise ValueError(f"line {fault.lineno}: {fault.msg}") from fault


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"which declares {key!r} twice; the values are {found[key]!r} and {value!r}")
        found[key] = value
    return found


def _toml(text: str) -> Any:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        raise ValueError(f"which is no TOML: {fault}") from fault


def _yaml(text: str) -> Any:
    try:
        import yaml  # optional: extra "yaml"
    except ImportError as error:
        raise MissingExtraError(
            "treatments in a YAML file need PyYAML; install it with pip install 'pytest-crystallize[yaml]', "
            "or write them as TOML or JSON"
        ) from error
    from crystallize.declare.yaml_loader import CoreLoader  # imports yaml

    try:
        return yaml.load(text, CoreLoader)
    except yaml.MarkedYAMLError as fault:
        mark = fault.problem_mark or fault.context_mark
        line = "" if mark is None else f"line {mark.line + 1}: "
        raise ValueError(f"{line}{fault.problem or fault.context}") from fault
    except yaml.YAMLError as fault:
        raise ValueError(f"which is no YAML: {fault}") from fault


_FORMATS: Mapping[str, Callable[[str], Any]] = {".yaml": _yaml, ".yml": _yaml, ".toml": _toml, ".json": _json}

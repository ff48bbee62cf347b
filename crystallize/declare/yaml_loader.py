"""YAML as version 1.2 reads it, without tags that make objects, and with nothing said twice.

PyYAML reads version 1.1, in which ``no`` is false, ``1e-3`` a text, ``012`` ten and ``1:30`` ninety.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

import yaml

_MERGE = "tag:yaml.org,2002:merge"


class CoreLoader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no types
    """Safe loader of the core schema of YAML 1.2, and of merge keys, that refuses keys said twice."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Return a mapping whose keys are all different."""
        if isinstance(node, yaml.MappingNode):
            seen: set[Any] = set()
            for key, _ in node.value:
                name = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else id(key)
                if name in seen and key.tag != _MERGE:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"{key.value!r} is declared twice", key.start_mark
                    )
                seen.add(name)
        return super().construct_mapping(node, deep)  # type: ignore[no-any-return]


def _integer(loader: CoreLoader, node: Any) -> int:
    text = loader.construct_scalar(node)
    return int(text, 0) if text[:2] in ("0o", "0x") else int(text)


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    ("merge", "<<", ["<"]),
):
    CoreLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), _first)
CoreLoader.add_constructor("tag:yaml.org,2002:int", _integer)

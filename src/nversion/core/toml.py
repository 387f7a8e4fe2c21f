"""Plain data as TOML text; reading it is the standard library's `tomllib`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def toml_value(value: Any) -> str:
    """A TOML value: JSON's strings, numbers and lists are TOML's; tables are not.

    >>> toml_value({"mean": [0.5, 0.5], "size": 32})
    '{ mean = [0.5, 0.5], size = 32 }'
    """
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {toml_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def to_toml(tables: Mapping[str, Any]) -> str:
    """A TOML document: mappings become tables, lists of mappings arrays of tables.

    >>> print(to_toml({"study": {"name": "a"}, "models": [{"source": "x"}]}), end="")
    [study]
    name = "a"
    <BLANKLINE>
    [[models]]
    source = "x"
    """
    parts = []
    for name, content in tables.items():
        many = isinstance(content, list)
        head = f"[[{_key(name)}]]" if many else f"[{_key(name)}]"
        parts += [
            f"{head}\n" + "".join(f"{_key(k)} = {toml_value(v)}\n" for k, v in table.items())
            for table in (content if many else [content])
        ]
    return "\n".join(parts)


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False)

"""Models as bytes: JSON with the arrays beside it, compressed. Reading runs no code."""

import zlib
from typing import Any

import numpy as np
import orjson

_ARRAY = "array"
_KINDS = ("float64", "float32", "int32", "int16", "int8")
# More than any state holds; what claims to be larger is none.
_MOST_BYTES = 4 * 1024**2


def encode(tree: dict[str, Any]) -> bytes:
    """Return a tree of dicts, lists, numbers, strings, None and numpy arrays of one dimension."""
    arrays: list[bytes] = []

    def plain(node: Any) -> Any:
        if isinstance(node, np.ndarray):
            arrays.append(node.tobytes())
            return {_ARRAY: [node.dtype.name, len(node)]}
        if isinstance(node, dict):
            return {key: plain(value) for key, value in node.items()}
        if isinstance(node, list):
            return [plain(value) for value in node]
        return node

    head = orjson.dumps(plain(tree))
    return zlib.compress(len(head).to_bytes(4) + head + b"".join(arrays), level=1)


def decode(data: bytes) -> dict[str, Any]:
    """Return the tree that was encoded; raises ValueError for bytes that are none."""
    try:
        raw = zlib.decompressobj().decompress(data, _MOST_BYTES)
    except zlib.error as error:
        raise ValueError("not a compressed state") from error
    size = int.from_bytes(raw[:4])
    position = 4 + size

    def full(node: Any) -> Any:
        nonlocal position
        if isinstance(node, dict):
            if node.keys() == {_ARRAY}:
                kind, count = node[_ARRAY]
                if kind not in _KINDS:
                    raise ValueError(f"unknown kind of array {kind}")
                array = np.frombuffer(raw, kind, count, position)
                position += array.nbytes
                return array
            return {key: full(value) for key, value in node.items()}
        if isinstance(node, list):
            return [full(value) for value in node]
        return node

    tree = full(orjson.loads(raw[4:position]))
    if not isinstance(tree, dict):
        raise ValueError("no state")
    return tree

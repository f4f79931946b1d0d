"""Nested dicts and lists of arrays and numpy scalars, as one zip file: part of the format `numpy`.

The member `tree.json` is the structure, with plain values in place; each array is a member of its own. Nothing is
pickled.
"""

import json
import math
import sys
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO
from zipfile import ZipFile

from opstore_cli.objects import zip_members
from opstore_cli.objects.format import Unfit, type_name

TREE = "tree.json"  # no array of a flat .npz has this name: theirs end in .npy
MAX_DEPTH = 100

Check = Callable[[Any, str], None]
Write = Callable[[Any, Any], None]


def is_scalar(obj: object) -> bool:
    """Return whether it is a numpy scalar, such as the float64 that a mean of an array is."""
    numpy: Any = sys.modules.get("numpy")  # if it was never imported, the object is no scalar of it
    return numpy is not None and isinstance(obj, numpy.generic) and type(obj).__module__ == "numpy"


def is_tree(obj: object, is_array: Callable[[object], bool]) -> bool:
    """Return whether it is a numpy scalar, or a dict or list that contains arrays or such scalars and plain values."""
    if is_scalar(obj):
        return True
    if type(obj) not in (dict, list):
        return False
    try:
        leaves = list(_leaves(obj, 0))
    except Unfit:
        return False
    return all(is_array(leaf) or is_scalar(leaf) or _is_plain(leaf) for leaf in leaves) and not all(
        map(_is_plain, leaves)
    )


def _leaves(obj: Any, depth: int) -> Iterator[Any]:
    if depth > MAX_DEPTH:
        raise Unfit(f"it is nested more than {MAX_DEPTH} levels deep, or contains itself")
    if type(obj) is dict:
        for key, value in obj.items():
            if type(key) is not str:
                raise Unfit(f"it has a key that is not a string: {key!r:.100}")
            yield from _leaves(value, depth + 1)
    elif type(obj) is list:
        for value in obj:
            yield from _leaves(value, depth + 1)
    else:
        yield obj


def _is_plain(obj: object) -> bool:
    kind = type(obj)
    return kind in (str, bool, int) or obj is None or (kind is float and math.isfinite(obj))  # type: ignore[arg-type]


def dump(obj: Any, file: BinaryIO, check: Check, write: Write) -> None:
    """Write the tree. `check` raises Unfit for an array that is not restored exactly, and `write` writes one."""
    for _ in _leaves(obj, 0):
        pass
    with ZipFile(file, "w") as made:
        arrays: list[Any] = []
        tree = json.dumps(_to_json(obj, "", arrays, check), ensure_ascii=False, allow_nan=False)
        with made.open(zip_members.member(TREE), "w") as member:
            member.write(tree.encode())
        for number, array in enumerate(arrays):
            with made.open(zip_members.member(f"{number}.npy", array.nbytes + 10_000), "w") as member:
                write(member, array)


def _to_json(obj: Any, place: str, arrays: list[Any], check: Check) -> Any:
    kind = type(obj)
    if kind is dict:
        return {"dict": [[key, _to_json(each, f"{place}[{key!r:.100}]", arrays, check)] for key, each in obj.items()]}
    if kind is list:
        return {"list": [_to_json(each, f"{place}[{number}]", arrays, check) for number, each in enumerate(obj)]}
    if _is_plain(obj):
        return {"value": obj}
    if is_scalar(obj):
        arrays.append(sys.modules["numpy"].asarray(obj))
        if type(arrays[-1][()]) is not kind:
            raise Unfit(f"its {place} is a {type_name(kind)}, which would not be restored exactly")
        check(arrays[-1], place)
        return {"scalar": len(arrays) - 1}
    check(obj, place)
    arrays.append(obj)
    return {"array": len(arrays) - 1}


def load(found: ZipFile, read: Callable[[Any], Any]) -> Any:
    """Return the tree in the zip file; `read` reads an array. Raises Unfit."""
    try:
        tree = json.loads(found.read(TREE))
    except RecursionError:
        raise Unfit("it is nested too deeply") from None
    return _from_json(tree, found, read, 0)


def _from_json(node: Any, found: ZipFile, read: Callable[[Any], Any], depth: int) -> Any:
    if depth > MAX_DEPTH + 1:
        raise Unfit("it is nested too deeply")
    match node:
        case {"dict": [*pairs]}:
            return {str(key): _from_json(each, found, read, depth + 1) for key, each in pairs}
        case {"list": [*items]}:
            return [_from_json(each, found, read, depth + 1) for each in items]
        case {"value": value}:
            return value
        case {"array": int(number)}:
            with found.open(f"{number}.npy") as member:
                return read(member)
        case {"scalar": int(number)}:
            with found.open(f"{number}.npy") as member:
                return read(member)[()]
    raise Unfit(f"its {TREE} has something else than a dict, a list, a value, an array or a scalar")

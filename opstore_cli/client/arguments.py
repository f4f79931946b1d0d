"""The arguments of the client's verbs: checked and normalized by their names, before a verb runs.

A text where a sequence of texts is expected is one text, a path is any `os.PathLike`, a time may be a `datetime`, and
the record of a version is a reference to it.
Anything else of a wrong type is refused with InvalidArgument, a TypeError that names the argument.
"""

import io
import math
import operator
import os
import shlex
from collections.abc import Callable, Hashable, Mapping, Set
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any, get_args

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.checked_text import CheckedText
from opstore_daemon.protocol.records import (
    Compat,
    Level,
    Lock,
    NewBisection,
    NewRun,
    OpVersion,
    Otherwise,
    Resolution,
    RunResult,
    VersionRecord,
)
from opstore_daemon.protocol.times import AsOf
from opstore_daemon.protocol.versions import Version

Check = Callable[[str, Any], Any]


def text(name: str, value: Any) -> str:
    """Return the text, of type `str` unless it is a checked one. Raises InvalidArgument."""
    if not isinstance(value, str):
        raise _invalid(name, "a text (str)", value)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        actual = f"a text with the lone surrogate {value[error.start]!r}, which UTF-8 can't represent"
        raise errors.InvalidArgument(argument=name, expected="a text (str)", actual=actual, advice="") from None
    # The encoder of requests takes no other subclass of `str`, such as numpy.str_.
    return value if isinstance(value, CheckedText) else str.__str__(value)


def texts(name: str, value: Any) -> tuple[str, ...]:
    """Return the texts of a sequence; a single text is a sequence of one. Raises InvalidArgument."""
    if isinstance(value, str):
        return (text(name, value),)
    if isinstance(value, bytes | bytearray | memoryview | Mapping) or not _is_iterable(value):
        raise _invalid(name, "a sequence of texts (str)", value)
    found = tuple(value)
    for each in found:
        if not isinstance(each, str):
            raise _invalid(name, "a sequence of texts (str)", each, within=value)
    return tuple(text(name, each) for each in found)


def texts_in_order(name: str, value: Any) -> tuple[str, ...]:
    """Return the texts of a sequence, which may not be a set: it has another order in each process."""
    if isinstance(value, Set):
        raise _invalid(name, "a sequence of texts (str) in their order", value)
    return texts(name, value)


def bump(name: str, value: Any) -> str:
    """Return the level. Raises InvalidArgument."""
    advice = "the store assigns version numbers; tags='v2.1.0' gives a version a name of your own"
    return _word(name, value, get_args(Level), advice if "." in str(value) else "")


def compat(name: str, value: Any) -> str:
    """Return the compatibility level. Raises InvalidArgument."""
    return _word(name, value, get_args(Compat))


def otherwise(name: str, value: Any) -> str:
    """Return what to do about other bytes. Raises InvalidArgument."""
    return _word(name, value, get_args(Otherwise))


def reference(name: str, value: Any) -> str:
    """Return the text of a reference, or that of the record of a version: `pca@1.0.0`. Raises InvalidArgument."""
    if isinstance(value, VersionRecord | OpVersion):
        return str(value)
    if name == "op" and isinstance(value, bytes | bytearray | os.PathLike):
        raise _invalid(name, "a text (str)", value, advice="the name of the op comes first, such as 'pca'")
    return text(name, value)


def references(name: str, value: Any) -> tuple[str, ...]:
    """Return the references of a sequence; a single one is a sequence of one. Raises InvalidArgument."""
    if isinstance(value, VersionRecord | OpVersion):
        return (str(value),)
    if isinstance(value, str | bytes | bytearray | memoryview | Mapping) or not _is_iterable(value):
        return texts(name, value)
    return texts(name, [str(each) if isinstance(each, VersionRecord | OpVersion) else each for each in value])


def pairs(name: str, value: Any) -> tuple[tuple[str, str], ...]:
    """Return the pairs of texts of a sequence. Raises InvalidArgument."""
    expected = "a sequence of pairs of texts (str)"
    if isinstance(value, str | bytes | Mapping) or not _is_iterable(value):
        raise _invalid(name, expected, value)
    found = []
    for each in value:
        if isinstance(each, str | bytes | Mapping) or not _is_iterable(each) or len(pair := tuple(each)) != 2:
            raise _invalid(name, expected, each, within=value)
        upstream, downstream = texts(name, pair)
        found.append((upstream, downstream))
    return tuple(found)


def mapping(name: str, value: Any) -> dict[str, str]:
    """Return the mapping of texts to texts as a dict. Raises InvalidArgument."""
    return _mapping(name, value, "a mapping of texts to texts (str)", text)


def fields(name: str, value: Any) -> dict[str, dict[str, str]]:
    """Return the mapping of levels to mappings as a dict. Raises InvalidArgument."""
    expected = 'a mapping such as {"major": {"whiten": "true"}}'
    found = _mapping(name, value, expected, mapping)
    for level in found:
        if level not in get_args(Level):
            actual = f"one with the level {level!r}: the levels are major, minor and patch"
            raise errors.InvalidArgument(argument=name, expected=expected, actual=actual, advice="")
    return found


def count(name: str, value: Any) -> int:
    """Return the whole number. Raises InvalidArgument."""
    if (found := _integer(value)) is None:
        raise _invalid(name, "a whole number (int)", value)
    return found


def number(name: str, value: Any) -> float:
    """Return the number of seconds, which may be infinite, but not NaN. Raises InvalidArgument."""
    try:
        found = math.nan if isinstance(value, str | bytes | bytearray | bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if math.isnan(found) or found == -math.inf:
        raise _invalid(name, "a number of seconds", value)
    return found if not isinstance(value, int) else value


def flag(name: str, value: Any) -> bool:
    """Return a bool, a numpy.bool, 1 or 0 as a bool. Raises InvalidArgument."""
    try:
        known = isinstance(value, Hashable) and value in (True, False)
    except (TypeError, ValueError, ArithmeticError):  # it can't be compared, such as pandas.NA
        known = False
    if not known:
        raise _invalid(name, "True or False", value)
    return bool(value)


def time(name: str, value: Any) -> AsOf:
    """Return a position of the journal or a time. A text is parsed as `--as-of` is; a datetime without a zone and a
    date are local time. Raises InvalidArgument, and InvalidRequest for another text.
    """
    expected = "a position of the journal, a time (RFC 3339), a relative time such as '2 days ago' or a datetime"
    if isinstance(value, date):  # a datetime is one too
        try:
            return AsOf.of(value)
        except (ValueError, OverflowError):
            actual = f"{value}, which is not between the years 1 and 9999 in UTC"
            raise errors.InvalidArgument(argument=name, expected=expected, actual=actual, advice="") from None
    if (position := _integer(value)) is not None:
        return AsOf(str(position))
    if not isinstance(value, str):
        raise _invalid(name, expected, value)
    return AsOf.parse(text(name, value))


def end(name: str, value: Any) -> AsOf | Lock | Path:
    """Return a lock, the path of its file, or a position or time; a text is a path if there is a file of that name.

    Raises InvalidArgument, and InvalidRequest for another text.
    """
    if isinstance(value, Lock):
        return value
    if isinstance(value, os.PathLike):
        return path(name, value)
    if isinstance(value, str):
        from opstore_cli.evidence.end_text import parse_end

        return value if isinstance(value, AsOf) else parse_end(text(name, value))
    if not isinstance(value, date) and _integer(value) is None:
        raise _invalid(name, "a lock, the path of its file, a position of the journal, a time or a datetime", value)
    return time(name, value)


def subversions(name: str, value: Any) -> str | Version:
    """Return the text, or those of an object with `major`, `minor` and `patch`.

    Raises InvalidArgument, and InvalidSubversions for such an object.
    """
    if all(hasattr(value, level) for level in ("major", "minor", "patch")):
        return Version.of(value)
    return text(name, value)


def source(name: str, value: Any) -> Any:
    """Return bytes, a path as Path or str, or a binary file object. Raises InvalidArgument."""
    if isinstance(value, str) and not value:
        raise _not_a_path(name, "an empty text")
    if isinstance(value, str):
        return _path_of_source(value)
    if isinstance(value, os.PathLike):
        return Path(os.fsdecode(value))
    if isinstance(value, memoryview) and not value.c_contiguous:  # such as a slice with a step
        return value.tobytes()
    if isinstance(value, bytes | bytearray | memoryview) or callable(getattr(value, "read", None)):
        return value
    expected = "bytes, the path of a file or folder, or a binary file object"
    raise _invalid(name, expected, value, advice="client.save(op, obj) stores a Python object, such as an array")


def _path_of_source(value: str) -> str:
    with suppress(OSError, ValueError):
        os.lstat(value)
        return value
    error = errors.FileRefused(path=value, reason="there is no such file")
    error.python = "{called} takes the op and a source: a str is the path of one; to store a text pass text.encode()"
    raise error


def target(name: str, value: Any) -> Any:
    """Return a path as Path or str, or a binary file object. Raises InvalidArgument."""
    if callable(getattr(value, "write", None)) and not isinstance(value, io.TextIOBase):
        return value
    if not isinstance(value, str | os.PathLike):
        raise _invalid(name, "a path or a binary file object", value)
    found = path(name, value)
    return value if isinstance(value, str) else found


def path(name: str, value: Any) -> Path:
    """Return the path. Raises InvalidArgument."""
    if not isinstance(value, str | os.PathLike):
        raise _invalid(name, "a path", value)
    found = os.fsdecode(value)
    if not found:  # Path("") is the working folder
        raise _not_a_path(name, "an empty text")
    if "\0" in found:
        raise _not_a_path(name, "a text with a null character")
    return Path(found)


def environment(name: str, value: Any) -> bool | Path:
    """Return True, False or the path. Raises InvalidArgument."""
    if isinstance(value, str | os.PathLike):
        return path(name, value)
    try:
        return flag(name, value)
    except errors.InvalidArgument:
        expected = "True, False or the path of a file such as requirements.txt or uv.lock"
        raise _invalid(name, expected, value) from None


def _not_a_path(name: str, actual: str) -> errors.InvalidArgument:
    return errors.InvalidArgument(argument=name, expected="a path", actual=actual, advice="")


def lock(name: str, value: Any) -> Lock | Path:
    """Return the lock, or the path of a lock file. Raises InvalidArgument."""
    if isinstance(value, Lock):
        return value
    if not isinstance(value, str | os.PathLike):
        advice = "client.resolve(pipeline).lock() returns one"
        raise _invalid(name, "a Lock, or the path of a lock file", value, advice=advice)
    return path(name, value)


def resolution(name: str, value: Any) -> Resolution:
    """Return the resolution. Raises InvalidArgument."""
    if not isinstance(value, Resolution):
        raise _invalid(name, "a Resolution", value, advice="client.resolve(pipeline) returns one")
    return value


def new_run(name: str, value: Any) -> NewRun:
    """Return the run. Raises InvalidArgument."""
    if not isinstance(value, NewRun):
        raise _invalid(name, "a NewRun", value, advice="client.verify(pipeline, command) runs a command and records it")
    return value


def new_bisection(name: str, value: Any) -> NewBisection:
    """Return the bisection. Raises InvalidArgument."""
    if not isinstance(value, NewBisection):
        raise _invalid(name, "a NewBisection", value, advice="client.bisect(pipeline, command) searches and records it")
    return value


def result(name: str, value: Any) -> str:
    """Return the result of a run. Raises InvalidArgument."""
    return _word(name, value, get_args(RunResult))


def references_or_lock(name: str, value: Any) -> tuple[str, ...] | Lock:
    """Return the references of a sequence, or the lock. Raises InvalidArgument."""
    return value if isinstance(value, Lock) else references(name, value)


def trusted(name: str, value: Any) -> tuple[str | type, ...]:
    """Return the types, or their names, of a sequence; a single one is a sequence of one. Raises InvalidArgument."""
    expected = "a sequence of types or of their names (str)"
    if isinstance(value, str | type):
        return (value,)
    if isinstance(value, bytes | bytearray | memoryview | Mapping) or not _is_iterable(value):
        raise _invalid(name, expected, value)
    found = tuple(value)
    for each in found:
        if not isinstance(each, str | type):
            raise _invalid(name, expected, each, within=value)
    return found


def function(name: str, value: Any) -> Any:
    """Return the callable. Raises InvalidArgument."""
    if not callable(value):
        raise _invalid(name, "a function", value)
    return value


def command_or_function(name: str, value: Any) -> Any:
    """Return the words of a command, or the callable. Raises InvalidArgument."""
    if callable(value):
        return value
    if isinstance(value, str):
        advice = f"there is no shell: pass {shlex.split(value)!r}" if _is_splittable(value) else ""
        raise _invalid(name, "a sequence of words, or a function", value, advice=advice)
    return texts_in_order(name, value)


def progress(name: str, value: Any) -> Any:
    """Return True, False, None or the function. Raises InvalidArgument."""
    if not (value is None or isinstance(value, bool) or callable(value)):
        raise _invalid(name, "True, False, None or a function of (bytes so far, total bytes)", value)
    return value


_NAMES = ("name", "pipeline", "tag", "upgrade")
_REFERENCE = (
    "op",
    "reference",
    "one",
    "other",
    "upstream",
    "downstream",
    "version",
)  # a verb that takes only a name refuses any other reference
_OTHER_TEXT = ("evidence", "reason", "message", "filename", "format", "description", "set", "script", "subset")
_REFERENCES = ("use", "valid_for", "valid_with", "subject")
_FLAGS = (
    "new",
    "files",
    "executable",
    "history",
    "exact_set",
    "valid",
    "overwrite",
    "follow_links",
    "keep_suffix",
    "prune",
    "purge",
    "dry_run",
    "allow_pickle",
    "client_verifies",
    "resume",
    "resolved",
    "load",
    "rerun",
    "all_versions",
    "force",
    "dry_run",
    "read_data",
    "repair",
)
CHECKS: dict[str, Check] = {
    **dict.fromkeys((*_NAMES, *_OTHER_TEXT), text),
    **dict.fromkeys(_REFERENCE, reference),
    **dict.fromkeys(_REFERENCES, references),
    **dict.fromkeys(("tags", "label", "unlabel", "exclude"), texts),
    "bump": bump,
    "compat": compat,
    "new_ops": compat,
    "otherwise": otherwise,
    "ops": texts_in_order,
    "trusted": trusted,
    **dict.fromkeys(("labels", "libraries"), mapping),
    **dict.fromkeys(("seconds", "timeout", "grace"), number),
    **dict.fromkeys(_FLAGS, flag),
    "edges": pairs,
    "fields": fields,
    **dict.fromkeys(("limit", "position", "rate"), count),
    "command": texts_in_order,
    "new_run": new_run,
    "new_bisection": new_bisection,
    "result": result,
    **dict.fromkeys(("as_of", "since", "until"), time),
    **dict.fromkeys(("good", "bad"), end),
    "subversions": subversions,
    "source": source,
    "to": target,
    "notify": function,
    "command_or_function": command_or_function,
    "repeat": count,
    "script_path": path,
    "progress": progress,
    "references": references_or_lock,
    "environment": environment,
    "lock": lock,
    "resolution": resolution,
    "folder": path,
    "path": path,
}


def _is_splittable(command: str) -> bool:
    """Return whether it is a command as one types it in a shell."""
    try:
        return bool(shlex.split(command))
    except ValueError:
        return False


def _is_iterable(value: Any) -> bool:
    """Return whether it can be iterated over: a numpy.ndarray without dimensions is an Iterable, but can't."""
    try:
        iter(value)
    except TypeError:
        return False
    return True


def _integer(value: Any) -> int | None:
    """Return an int or an integer of numpy as an int; None for anything else, such as a bool."""
    try:
        return None if isinstance(value, bool) else int(operator.index(value))
    except TypeError:
        return None


def _mapping(name: str, value: Any, expected: str, check: Check) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise _invalid(name, expected, value)
    for key, content in value.items():
        if not isinstance(key, str) or (check is text and not isinstance(content, str)):
            advice = f"write {{{key!r}: {str(content)!r}}}" if isinstance(content, bool | int | float) else ""
            raise _invalid(name, expected, key if not isinstance(key, str) else content, within=value, advice=advice)
    return {text(name, key): check(name, content) for key, content in value.items()}


def _word(name: str, value: Any, words: tuple[str, ...], advice: str = "") -> str:
    found = text(name, value)
    if found not in words:
        expected = " or ".join([", ".join(map(repr, words[:-1])), repr(words[-1])])
        raise errors.InvalidArgument(argument=name, expected=expected, actual=repr(found), advice=advice)
    return found


def _invalid(
    name: str, expected: str, value: Any, *, within: object = None, advice: str = ""
) -> errors.InvalidArgument:
    actual = _describe(value) if within is None else f"{_describe(within)} with {_describe(value)} in it"
    return errors.InvalidArgument(argument=name, expected=expected, actual=actual, advice=advice)


def _describe(value: object) -> str:
    if value is None:
        return "None"
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"

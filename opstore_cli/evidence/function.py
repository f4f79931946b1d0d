"""A function of this process that runs on a set of versions."""

import functools
import hashlib
import inspect
import os
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from opstore_cli.evidence.outcome import CantTell, Outcome
from opstore_cli.evidence.pulled_set import PulledSet
from opstore_cli.evidence.script import Script, named_script, script_of_text
from opstore_cli.evidence.watcher import Watcher
from opstore_cli.processes.ending_signals import Ended, EndingSignals
from opstore_cli.processes.output import KeptOutput
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import VersionRecord

MAX_REASON = 1000  # characters of an exception
MAX_ARGUMENT = 200  # characters of an argument that is recorded as it is

Load = Callable[[VersionRecord], object]


@dataclass(frozen=True)
class FunctionRunnable:
    """A function of a mapping of ops to the paths of their files or, with `load`, to their objects."""

    function: Callable[[Mapping[str, Any]], object]
    command: tuple[str, ...]
    script: Script | None
    load: Load | None = None

    @classmethod
    def of(cls, function: Callable[..., object], script: Script | None, load: Load | None) -> "FunctionRunnable":
        """Return the function with its name, and the digest of its source unless a script is given."""
        inner, arguments = _unwrap(function)
        if inspect.iscoroutinefunction(inner) or inspect.isgeneratorfunction(inner):
            raise _not_a_verdict(f"{inner.__name__}(), which returns a coroutine or a generator")
        name = f"{inner.__module__}.{inner.__qualname__}"
        if inner.__name__ == "<lambda>":
            name += f":{inner.__code__.co_firstlineno}"  # its file may have several
        return cls(function, (f"python:{name}", *arguments), script or _source(inner), load)

    @property
    def needs_files(self) -> bool:
        return self.load is None

    def check(self) -> None:
        """Do nothing: a function can be called."""

    def run(
        self, pulled: PulledSet, output: KeptOutput, signals: EndingSignals, watcher: Watcher, timeout: float | None
    ) -> Outcome:
        given = dict(pulled.paths) if self.load is None else self._objects(pulled, self.load)
        try:
            found = self.function(given)
        except CantTell as reason:
            return Outcome("unknown", _one_line("it can't tell", reason))
        except (KeyboardInterrupt, Ended):
            raise
        except BaseException as failure:  # noqa: BLE001 - whatever it raises is its result, also SystemExit
            output.write("".join(traceback.format_exception(failure)).encode(errors="replace"))
            return Outcome("failed", _one_line(f"it raised {type(failure).__name__}", failure))
        if found is None or (_is_bool(found) and bool(found)):
            return Outcome("passed", f"it returned {found}")
        if not _is_bool(found):
            raise _not_a_verdict(f"one that returned {type(found).__name__}")
        return Outcome("failed", f"it returned {found}")

    def _objects(self, pulled: PulledSet, load: Load) -> dict[str, Any]:
        return {version.op: load(version) for version in pulled.versions if version.digest is not None}


def _unwrap(function: Callable[..., object]) -> tuple[Any, list[str]]:
    """Return the function that has a name and a source, and the arguments that it is called with, as words.

    It is that of a partial or decorated one, or the class of an object.
    """
    arguments: list[str] = []
    while isinstance(function, functools.partial):
        named = [f"{name}={_word(value)}" for name, value in function.keywords.items()]
        arguments = [*map(_word, function.args), *named, *arguments]
        function = function.func
    return inspect.unwrap(function) if hasattr(function, "__qualname__") else type(function), arguments


def _word(value: object) -> str:
    """Return an argument as a word of a command, which says whether two runs are the same test."""
    text = repr(value)
    if len(text) <= MAX_ARGUMENT and text.isprintable():
        return text
    return f"sha256:{hashlib.sha256(text.encode(errors='replace')).hexdigest()}"


def _source(function: Any) -> Script | None:
    """Return the file that the function is in, or its own source if it is in none, as in a notebook."""
    try:
        path = inspect.getsourcefile(function)
        if path is not None and os.path.isfile(path):
            return named_script(path)
        return script_of_text(inspect.getsource(function))
    except (OSError, TypeError, errors.FileRefused):
        return None


def _is_bool(value: object) -> bool:
    return isinstance(value, bool) or (type(value).__module__, type(value).__name__) in (
        ("numpy", "bool"),
        ("numpy", "bool_"),
    )


def _not_a_verdict(actual: str) -> errors.InvalidArgument:
    return errors.InvalidArgument(
        argument="command_or_function",
        expected="a function that returns True, False or None",
        actual=actual,
        advice="return True or None if the versions are valid together, and False, or raise an exception, if not",
    )


def _one_line(text: str, error: BaseException) -> str:
    try:
        said = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 - of a user's class
        return text
    return f"{text}: {said[:MAX_REASON]}" if said else text

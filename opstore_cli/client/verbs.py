"""A decorator for the class of the client, which adds to each verb what all verbs do.

It checks the arguments (`arguments`), returns a list of records as one that notebooks and pandas show, and adds the
advice of an error to its traceback, in the words of Python (`advice`).
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from opstore_cli.client import advice, mistakes
from opstore_cli.client.arguments import CHECKS, Check
from opstore_daemon.protocol.records import Record
from opstore_daemon.protocol.records.presentation import RecordList

C = TypeVar("C", bound=type)


def verbs(*, unchecked: tuple[type, ...] = ()) -> Callable[[C], C]:
    """Return a decorator of a class that wraps all its public methods.

    `unchecked`: base classes whose methods take other objects than CHECKS knows.
    """
    exempt = {name for base in unchecked for name in vars(base)}

    def decorate(kind: C) -> C:
        for name in dir(kind):
            method = inspect.getattr_static(kind, name)
            is_verb = inspect.isfunction(method) and not getattr(method, "__isabstractmethod__", False)
            if is_verb and not name.startswith("_"):
                setattr(kind, name, _verb(method, {} if name in exempt else CHECKS))
        return kind

    return decorate


def _verb(method: Callable[..., Any], known: dict[str, Check]) -> Callable[..., Any]:
    signature = inspect.signature(method)
    checks = {name: known[name] for name in signature.parameters if name in known}

    @functools.wraps(method)
    def call(*given: Any, **named: Any) -> Any:
        try:
            bound = signature.bind(*given, **named)
        except TypeError as reason:
            raise mistakes.wrong_call(method, reason, named) from None
        with advice.notes(f"client.{method.__name__}()"):
            _check(bound, checks)
            result = method(*bound.args, **bound.kwargs)
        is_records = type(result) is list and all(isinstance(each, Record) for each in result)
        return RecordList(result) if is_records else result

    return call


def _check(bound: inspect.BoundArguments, checks: dict[str, Check]) -> None:
    for name, value in bound.arguments.items():
        # None is accepted if it is the default, and in place of an empty sequence.
        default = bound.signature.parameters[name].default
        if name in checks and not (value is None and default in (None, ())):
            bound.arguments[name] = checks[name](name, value)
        elif value is None and default == ():
            bound.arguments[name] = ()

"""Compile each URL rule once in a process, not once for each server that the tests open in it.

werkzeug compiles two functions for each rule of an application: a third of the time that a server takes to open.
"""

from collections.abc import Callable
from typing import Any

from werkzeug.routing import Rule

_compile: Any = Rule._compile_builder
_compiled: dict[object, Callable[..., tuple[str, str]]] = {}


def _remembered(rule: Rule, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
    # The text of a rule has the arguments of its converters.
    converters = tuple((name, type(each)) for name, each in rule._converters.items())
    key = (rule.rule, rule.subdomain, rule.host, repr(rule.defaults), converters, append_unknown)
    if key not in _compiled:
        _compiled[key] = _compile(rule, append_unknown)
    return _compiled[key]


def remember() -> None:
    """Reuse what was compiled for the same rule of another application of this process."""
    replaced: Any = Rule
    replaced._compile_builder = _remembered

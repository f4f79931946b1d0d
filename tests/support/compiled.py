"""Compile what all servers have in common once in a process, not once for each server that the tests open in it.

werkzeug compiles two functions for each rule of an application, SQLAlchemy the statements that create the tables and,
for each engine, those that read and write: two thirds of the time that a server takes to open.
"""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Engine, event
from werkzeug.routing import Rule

from opstore_daemon.metadata.tables import Base

_compile: Any = Rule._compile_builder
_rules: dict[object, Callable[..., tuple[str, str]]] = {}
_init: Any = Engine.__init__
_create_all: Any = Base.metadata.create_all
_tables: list[str] = []


def _compile_rule(rule: Rule, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
    # The text of a rule has the arguments of its converters.
    converters = tuple((name, type(each)) for name, each in rule._converters.items())
    key = (rule.rule, rule.subdomain, rule.host, repr(rule.defaults), converters, append_unknown)
    if key not in _rules:
        _rules[key] = _compile(rule, append_unknown)
    return _rules[key]


class _Statements(dict[Any, Any]):
    """What the engines compiled: the first part of their keys, the engine's dialect, is dropped."""

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get(key[1:], default)

    def __setitem__(self, key: Any, compiled: Any) -> None:
        super().__setitem__(key[1:], compiled)


_statements = _Statements()


def _init_engine(engine: Engine, *args: Any, **options: Any) -> None:
    _init(engine, *args, **options)
    if engine.dialect.name == "sqlite":
        engine._compiled_cache = _statements


def _create_tables(connection: Connection, **options: Any) -> None:
    if _tables:
        for statement in _tables:
            connection.exec_driver_sql(statement)
        return
    executed: list[str] = []

    def record(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        executed.append(statement)

    event.listen(connection, "before_cursor_execute", record)
    try:
        _create_all(connection, **options)
    finally:
        event.remove(connection, "before_cursor_execute", record)
    _tables[:] = executed  # only if all were executed


def remember() -> None:
    """Reuse what was compiled for another server of this process."""
    replaced: Any = Rule
    replaced._compile_builder = _compile_rule
    replaced = Engine
    replaced.__init__ = _init_engine
    replaced = Base.metadata
    replaced.create_all = _create_tables

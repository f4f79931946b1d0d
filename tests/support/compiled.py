"""Compile what all servers have in common once in a process, not once for each server that the tests open in it.

werkzeug compiles two functions for each rule of an application, SQLAlchemy the statements that create the tables and,
for each engine, those that read and write: two thirds of the time that a server takes to open.
"""

from typing import Any

from sqlalchemy import Connection, Engine, event
from werkzeug.routing import Rule

from opstore_daemon.metadata.tables import Base

# What a rule has of its text alone, in werkzeug.
COMPILED = ("_parts", "_trace", "_converters", "_build", "_build_unknown")

_compile: Any = Rule.compile
_rules: dict[object, dict[str, Any]] = {}
_init: Any = Engine.__init__
_create_all: Any = Base.metadata.create_all
_tables: list[str] = []


def _compile_rule(rule: Rule) -> None:
    converters = tuple(rule.map.converters.items())
    key = (rule.rule, rule.subdomain, rule.host, repr(rule.defaults), rule.merge_slashes, converters)
    if key not in _rules:
        _compile(rule)
        _rules[key] = {name: _unbound(getattr(rule, name)) for name in COMPILED}
        return
    for name, made in _rules[key].items():
        setattr(rule, name, made.__get__(rule) if callable(made) else made)
    rule.arguments.update(rule._converters)


def _unbound(made: Any) -> Any:
    return getattr(made, "__func__", made)


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
        cursor = connection.connection.cursor()
        for statement in _tables:
            cursor.execute(statement)
        cursor.close()
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
    replaced.compile = _compile_rule
    replaced = Engine
    replaced.__init__ = _init_engine
    replaced = Base.metadata
    replaced.create_all = _create_tables

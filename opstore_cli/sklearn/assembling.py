"""Put a pipeline together from the files or the objects of its ops."""

import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from opstore_cli.client import arguments
from opstore_cli.objects.format import UntrustedFound, type_name
from opstore_cli.objects.skops_format import SCHEMA, SKOPS
from opstore_cli.output.escaping import escape_controls
from opstore_cli.sklearn import estimators, structure
from opstore_cli.sklearn.naming import STRUCTURE
from opstore_daemon.protocol import errors

# What a structure may have, and what does no more than compare names and types of columns.
_HARMLESS = ("sklearn.compose._column_transformer.make_column_selector", "builtins.object")


def with_harmless(trusted: Any) -> tuple[str | type, ...]:
    """Return the types that a caller trusts, and those of a structure that are harmless. Raises InvalidArgument."""
    return (*(() if trusted is None else arguments.trusted("trusted", trusted)), *_HARMLESS)


def untrusted(found: Mapping[str, Sequence[str]], what: str) -> errors.UntrustedTypes:
    """Return one error that names the types in all versions, by op, so that they can be trusted at once."""
    ops: dict[str, list[str]] = {}
    for op, types in found.items():
        for kind in types:
            ops.setdefault(kind, []).append(op)
    types = sorted(ops)
    error = errors.UntrustedTypes(op=what, version="latest", types=", ".join(types))
    listed = escape_controls(str(types)).replace("{", "{{").replace("}", "}}")
    error.python = f"if you trust whoever can push here, pass trusted={listed}"
    named = "; ".join(f"{kind} ({', '.join(ops[kind])})" for kind in types)
    return error.with_text(escape_controls(f"{what} holds types that skops does not trust by default: {named}"))


def assemble(parts: Any, trusted: Any) -> Any:
    """Assemble a pipeline: see `opstore_cli.sklearn.assemble_pipeline`."""
    types = with_harmless(trusted)
    estimators.library("sklearn.pipeline")
    if isinstance(parts, str | os.PathLike):
        parts = _files(arguments.path("parts", parts))
    if not isinstance(parts, Mapping) or not all(isinstance(op, str) for op in parts):
        raise _not_parts(f"a {type_name(type(parts))}")
    structural = _structure(parts)
    objects: dict[str, Any] = {}
    refused: dict[str, Sequence[str]] = {}
    for op, part in parts.items():
        try:
            objects[op] = _read(part, types) if isinstance(part, os.PathLike) else part
        except UntrustedFound as found:
            refused[op] = found.types
    if refused:
        raise untrusted(refused, structural.removesuffix(f".{STRUCTURE}"))
    document = objects.pop(structural)
    try:
        return structure.put_together(document, objects)
    except Exception as error:  # somebody else may have written it: it has any objects in any places
        reason = escape_controls(f"ones whose {structural} is damaged: {errors.reason(error)}")
        raise _not_parts(reason) from error


def _files(folder: Path) -> dict[str, Path]:
    """Return the files of a pulled pipeline by op. Other files in the folder are left alone."""
    with errors.translated(OSError, to=errors.FileRefused, path=str(folder)):
        found = {entry.name: entry for entry in folder.iterdir() if entry.is_file()}
    structures = [op for op in found if op.endswith(f".{STRUCTURE}")]
    if not structures:
        raise _not_parts(f"the folder {folder}, which has no file NAME.{STRUCTURE}")
    prefix = min(structures, key=len).removesuffix(STRUCTURE)
    return {op: path for op, path in found.items() if op.startswith(prefix)}


def _structure(parts: Mapping[str, Any]) -> str:
    """Return the op with the structure: all other ops begin as it does. A step may be called so, too."""
    for op in sorted(parts, key=len):
        if op.endswith(f".{STRUCTURE}") and all(each.startswith(op.removesuffix(STRUCTURE)) for each in parts):
            return op
    raise _not_parts(f"ones without an op NAME.{STRUCTURE}")


def _read(path: os.PathLike[str], trusted: Sequence[str | type]) -> Any:
    try:
        with Path(path).open("rb") as file:
            if zipfile.is_zipfile(file) and SCHEMA in zipfile.ZipFile(file).namelist():
                file.seek(0)
                return SKOPS.load(file, trusted)
    except UntrustedFound:
        raise
    except OSError as error:
        raise errors.FileRefused(path=os.fspath(path), reason=errors.reason(error)) from error
    except Exception as error:  # skops and the classes of users raise anything
        reason = escape_controls(f"skops can't load it: {errors.reason(error)}")
        raise errors.FileRefused(path=os.fspath(path), reason=reason) from error
    raise _not_parts(f"ones with {os.fspath(path)}, which is no skops file")


def _not_parts(actual: str) -> errors.InvalidArgument:
    expected = "a folder with the skops files of a saved pipeline, or a mapping of its ops to files or objects"
    advice = "client.verify(..., load=True) passes objects, whatever their format is"
    return errors.InvalidArgument(argument="parts", expected=expected, actual=actual, advice=advice)

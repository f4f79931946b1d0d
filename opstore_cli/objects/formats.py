"""All formats of objects by name, the default format of an object, and the errors of dump and load."""

from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile, gettempdir
from typing import Any, BinaryIO

from opstore_cli.objects import arrays, frames, libraries, model_files, pickles, plain, skops_format
from opstore_cli.objects.format import Format, Trusted, Unfit, UntrustedFound, type_name
from opstore_cli.output.escaping import escape_controls
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import VersionRecord

FORMATS = {
    each.name: each
    for each in (
        plain.BYTES,
        plain.JSON,
        arrays.NUMPY,
        frames.PARQUET,
        skops_format.SKOPS,
        model_files.SAFETENSORS,
        model_files.XGBOOST,
        model_files.LIGHTGBM,
        model_files.ONNX,
        pickles.JOBLIB,
        pickles.PICKLE,
        pickles.CLOUDPICKLE,
    )
}
_SAFE, _CODE = (", ".join(name for name, each in FORMATS.items() if each.runs_code is code) for code in (False, True))
NAMES = f"{_SAFE}; {_CODE} (loading these runs code)"


def by_name(name: str) -> Format:
    """Return the format of that name. Raises UnknownFormat."""
    if name not in FORMATS:
        raise errors.UnknownFormat(format=name, formats=NAMES)
    return FORMATS[name]


def default_format(obj: object) -> Format:
    """Return the format that restores the object exactly and runs no code. Raises FormatNeeded."""
    for each in FORMATS.values():
        if each.fits(obj):
            return each
    kind, why = type_name(type(obj)), plain.why_not_json(obj)
    reason = "only bytes, plain JSON, arrays and data frames have a default format"
    if why != f"it is a {kind}":
        reason += f", and {why}"
    raise errors.FormatNeeded(what=f"an object of the type {kind}", reason=reason, formats=NAMES)


def of_version(record: VersionRecord) -> Format:
    """Return the format that a version was saved in. Raises FormatNeeded and UnknownFormat."""
    if record.format is None:
        what = f"{record.op}@{record.version}"
        raise errors.FormatNeeded(what=what, reason="it was pushed as bytes, without a format", formats=NAMES)
    return by_name(record.format)


def dump(chosen: Format, obj: object, file: BinaryIO) -> dict[str, str]:
    """Write the object to a temporary file, seek to its start, and return the versions of the object's libraries.

    Raises LibraryMissing, ObjectRefused and OutputFailed.
    """
    chosen.require()
    try:
        modules = chosen.dump(obj, file)
        file.seek(0)
    except errors.OpStoreError:
        raise
    except OSError as error:
        raise errors.OutputFailed(path=gettempdir(), reason=errors.reason(error)) from error
    except Exception as error:  # libraries and the classes of users raise anything
        details = {"type": type_name(type(obj)), "format": chosen.name, "reason": _reason(error), "formats": NAMES}
        raise errors.ObjectRefused(**details) from error
    return libraries.versions(modules)


def load(chosen: Format, record: VersionRecord, file: BinaryIO, trusted: Trusted) -> Any:
    """Return the object in the verified bytes. Raises LibraryMissing, UntrustedTypes and NotLoaded."""
    version = {"op": record.op, "version": record.version}
    file.seek(0)
    try:
        return chosen.load(file, trusted)
    except errors.OpStoreError:
        raise
    except UntrustedFound as found:
        raise errors.UntrustedTypes(**version, types=", ".join(map(_escaped, found.types))) from None
    except Exception as error:  # as in dump()
        raise errors.NotLoaded(**version, format=chosen.name, reason=_reason(error)) from error


@contextmanager
def temporary_file() -> Iterator[BinaryIO]:
    """Yield a file that is deleted at the end of this context. Raises OutputFailed."""
    try:
        file = TemporaryFile()  # noqa: SIM115 - closed below; only errors of its opening are translated
    except OSError as error:
        raise errors.OutputFailed(path=gettempdir(), reason=errors.reason(error)) from error
    with file:
        yield file


def _reason(error: Exception) -> str:
    if isinstance(error, Unfit):
        return str(error)
    return _escaped(f"{type(error).__name__}: {error}"[:1000])


def _escaped(text: str) -> str:
    # Somebody else may have written the file that it comes from. Its line breaks stay: a traceback shows them.
    return "\n".join(map(escape_controls, text.split("\n")))

"""The formats of objects by their names, which one an object gets where none is given, and what can go wrong."""

from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile, gettempdir
from typing import Any, BinaryIO

from opstore_cli.objects import arrays, libraries, pickles, plain, skops_format
from opstore_cli.objects.format import Format, Trusted, Unfit, UntrustedFound, type_name
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import VersionRecord

FORMATS = {
    each.name: each
    for each in (
        plain.BYTES,
        plain.JSON,
        arrays.NUMPY,
        skops_format.SKOPS,
        pickles.JOBLIB,
        pickles.PICKLE,
        pickles.CLOUDPICKLE,
    )
}
_SAFE, _CODE = (", ".join(name for name, each in FORMATS.items() if each.runs_code is code) for code in (False, True))
NAMES = f"{_SAFE}; {_CODE} (which run code when they are loaded)"


def named(name: str) -> Format:
    """The format of that name; raises UnknownFormat."""
    if name not in FORMATS:
        raise errors.UnknownFormat(format=name, formats=NAMES)
    return FORMATS[name]


def fitting(obj: object) -> Format:
    """The format that gives the object back exactly as it is and runs no code; raises FormatNeeded."""
    for each in FORMATS.values():
        if each.fits(obj):
            return each
    kind, why = type_name(type(obj)), plain.why_no_json(obj)
    reason = "only bytes, arrays, dicts of arrays and plain JSON get one by themselves"
    if why != f"it is a {kind}":
        reason += f", and {why}"
    raise errors.FormatNeeded(what=f"an object of the type {kind}", reason=reason, formats=NAMES)


def of_version(record: VersionRecord) -> Format:
    """The format that the version says it has; raises FormatNeeded or UnknownFormat."""
    if record.format is None:
        what = f"{record.op}@{record.version}"
        raise errors.FormatNeeded(what=what, reason="it was pushed without one, as bytes", formats=NAMES)
    return named(record.format)


def dump(chosen: Format, obj: object, file: BinaryIO) -> dict[str, str]:
    """Writes the object to a temporary file, and goes to its start; returns the versions of the libraries that matter.

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
    except Exception as error:  # libraries, and what users' classes say of themselves, raise anything
        details = {"type": type_name(type(obj)), "format": chosen.name, "reason": _reason(error), "formats": NAMES}
        raise errors.ObjectRefused(**details) from error
    return libraries.versions(modules)


def load(chosen: Format, record: VersionRecord, file: BinaryIO, trusted: Trusted) -> Any:
    """The object in the verified bytes; raises LibraryMissing, UntrustedTypes and NotLoaded."""
    version = {"op": record.op, "version": record.version}
    file.seek(0)
    try:
        return chosen.load(file, trusted)
    except errors.OpStoreError:
        raise
    except UntrustedFound as found:
        raise errors.UntrustedTypes(**version, types=", ".join(map(_shown, found.types))) from None
    except Exception as error:  # as above
        raise errors.NotLoaded(**version, format=chosen.name, reason=_reason(error)) from error


@contextmanager
def temporary_file() -> Iterator[BinaryIO]:
    """A file that is gone with this context, and with this process; raises OutputFailed."""
    try:
        file = TemporaryFile()  # noqa: SIM115 - closed below; only its opening is to be translated
    except OSError as error:
        raise errors.OutputFailed(path=gettempdir(), reason=errors.reason(error)) from error
    with file:
        yield file


def _reason(error: Exception) -> str:
    if isinstance(error, Unfit):
        return str(error)
    return _shown(f"{type(error).__name__}: {error}"[:1000])


def _shown(text: str) -> str:
    # It may come from a file that somebody else wrote.
    return "".join(letter if letter.isprintable() or letter == "\n" else ascii(letter)[1:-1] for letter in text)

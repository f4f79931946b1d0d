"""The bytes of the parts of a pipeline, all written and checked before the first one is stored."""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opstore_cli.objects import formats
from opstore_cli.objects.format import Format, UntrustedFound, type_name
from opstore_daemon.protocol import errors

_OTHER = "pass format='cloudpickle', which stores nearly any object (loading it runs the code in it)"
_IMPORTABLE = "define its classes and functions in a module that can be imported where it is loaded, or "


@dataclass(frozen=True, slots=True)
class Dump:
    """An object in a file. `digest` is that of its bytes, and `libraries` are needed to load it."""

    path: Path
    digest: str
    libraries: dict[str, str]


class Dumps:
    """The files with the objects, in a folder that the caller deletes."""

    def __init__(self, chosen: Format, folder: Path) -> None:
        self.format = chosen
        self._folder = folder
        self._count = 0

    def write(self, what: str, obj: Any) -> Dump:
        """Write an object. Raises EstimatorRefused, with `what` as its subject."""
        self._count += 1
        path = self._folder / str(self._count)
        with errors.translated(OSError, to=errors.OutputFailed, path=str(path)), path.open("w+b") as file:
            libraries = _dump(self.format, what, obj, file)
            return Dump(path, f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}", libraries)

    def check(self, what: str, obj: Any, dump: Dump) -> None:
        """Read the file back, so that what can't be loaded is not stored. Raises EstimatorRefused.

        skops writes names of classes and functions without a look at whether they can be imported. A pickler looks.
        """
        if self.format.runs_code:
            return
        try:
            with dump.path.open("rb") as file:
                restored = _load(self.format, file)
        except Exception as error:
            reason = f"{self.format.name} could not restore it: {errors.reason(error)}"
            raise _refused(what, obj, reason, _IMPORTABLE + _OTHER) from error
        if type(restored) is not type(obj):
            reason = f"{self.format.name} would restore it as a {type_name(type(restored))}"
            raise _refused(what, obj, reason, _OTHER)

    def digest(self, obj: Any) -> str:
        """Return the digest of the bytes of a small object. Raises anything: libraries and classes of users do."""
        file = io.BytesIO()
        self.format.dump(obj, file)
        return f"sha256:{hashlib.sha256(file.getbuffer()).hexdigest()}"


def _dump(chosen: Format, what: str, obj: Any, file: Any) -> dict[str, str]:
    try:
        return formats.dump(chosen, obj, file)
    except errors.ObjectRefused as error:
        raise _refused(what, obj, str(error.details["reason"]), _OTHER) from error


def _load(chosen: Format, file: Any) -> Any:
    try:
        return chosen.load(file, None)
    except UntrustedFound as found:
        file.seek(0)
        return chosen.load(file, found.types)  # it was written by this process


def _refused(what: str, obj: Any, reason: str, advice: str) -> errors.EstimatorRefused:
    return errors.EstimatorRefused(what=f"{what} (a {type_name(type(obj))})", reason=reason, advice=advice)

"""The formats `pickle`, `cloudpickle` and `joblib`: nearly any object, but loading one runs the code in it."""

import contextlib
import pickle
from typing import Any, BinaryIO

from opstore_cli.objects.format import Format, Trusted
from opstore_cli.objects.libraries import modules_of, require

PROTOCOL = 5  # fixed, so that every version of Python writes the same bytes


def _recording(pickler: Any, modules: set[str]) -> Any:
    """Return a subclass of a pickler that adds the modules of each pickled object to `modules`."""

    class ModuleRecorder(pickler):  # type: ignore[misc]
        def reducer_override(self, obj: object) -> Any:
            modules.update(modules_of(obj))
            inherited = getattr(super(), "reducer_override", None)
            return NotImplemented if inherited is None else inherited(obj)

    return ModuleRecorder


def _dump_with(pickler: Any, obj: Any, file: BinaryIO) -> set[str]:
    modules = {"builtins"}
    _recording(pickler, modules)(file, PROTOCOL).dump(obj)
    return modules


def _dump_pickle(obj: Any, file: BinaryIO) -> set[str]:
    return _dump_with(pickle.Pickler, obj, file)


def _load_pickle(file: BinaryIO, _trusted: Trusted) -> Any:
    return pickle.load(file)  # noqa: S301 - the caller allowed it


def _cloudpickle() -> Any:
    return require("cloudpickle", "pickle", "the format cloudpickle")


def _dump_cloudpickle(obj: Any, file: BinaryIO) -> set[str]:
    return _dump_with(_cloudpickle().Pickler, obj, file) | {"cloudpickle"}


def _load_cloudpickle(file: BinaryIO, _trusted: Trusted) -> Any:
    return _cloudpickle().load(file)


def _joblib() -> Any:
    return require("joblib", "joblib", "the format joblib")


class _NullFile:
    """A file that discards what is written to it."""

    def write(self, data: Any) -> int:
        return len(data)


def _dump_joblib(obj: Any, file: BinaryIO) -> set[str]:
    _joblib().dump(obj, file, protocol=PROTOCOL)
    # joblib does not accept a pickler, so the object is pickled once more, to find its modules: they are the same. The
    # bytes of arrays are not copied.
    modules = {"builtins", "joblib"}
    with contextlib.suppress(Exception):
        _recording(pickle.Pickler, modules)(_NullFile(), PROTOCOL, buffer_callback=lambda _buffer: None).dump(obj)
    return modules


def _load_joblib(file: BinaryIO, _trusted: Trusted) -> Any:
    return _joblib().load(file)


PICKLE = Format(
    "pickle",
    "objects whose classes can be imported where it is loaded",
    _dump_pickle,
    _load_pickle,
    runs_code=True,
)
CLOUDPICKLE = Format(
    "cloudpickle",
    "as pickle; functions and classes of a notebook or a script are in the file themselves",
    _dump_cloudpickle,
    _load_cloudpickle,
    runs_code=True,
    library="cloudpickle",
    extra="pickle",
)
JOBLIB = Format(
    "joblib",
    "as pickle; made for objects with large arrays, such as scikit-learn's models",
    _dump_joblib,
    _load_joblib,
    runs_code=True,
    library="joblib",
    extra="joblib",
)

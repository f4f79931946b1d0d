"""The formats `pickle`, `cloudpickle` and `joblib`: nearly any object, and whoever loads one runs what is in it."""

import contextlib
import pickle
from typing import Any, BinaryIO

from opstore_cli.objects.format import Format, Trusted
from opstore_cli.objects.libraries import modules_of, require

PROTOCOL = 5  # fixed, so that another Python writes the same


def _noting(pickler: Any, modules: set[str]) -> Any:
    """The class of picklers, but for noting what each object comes from that is no plain data."""

    class Noting(pickler):  # type: ignore[misc]
        def reducer_override(self, obj: object) -> Any:
            modules.update(modules_of(obj))
            inherited = getattr(super(), "reducer_override", None)
            return NotImplemented if inherited is None else inherited(obj)

    return Noting


def _dump_with(pickler: Any, obj: Any, file: BinaryIO) -> set[str]:
    modules = {"builtins"}
    _noting(pickler, modules)(file, PROTOCOL).dump(obj)
    return modules


def _dump_pickle(obj: Any, file: BinaryIO) -> set[str]:
    return _dump_with(pickle.Pickler, obj, file)


def _load_pickle(file: BinaryIO, _trusted: Trusted) -> Any:
    return pickle.load(file)  # noqa: S301 - the caller said that it may


def _cloudpickle() -> Any:
    return require("cloudpickle", "pickle", "the format cloudpickle")


def _dump_cloudpickle(obj: Any, file: BinaryIO) -> set[str]:
    return _dump_with(_cloudpickle().Pickler, obj, file) | {"cloudpickle"}


def _load_cloudpickle(file: BinaryIO, _trusted: Trusted) -> Any:
    return _cloudpickle().load(file)


def _joblib() -> Any:
    return require("joblib", "joblib", "the format joblib")


class _Nowhere:
    """A file that keeps nothing."""

    def write(self, data: Any) -> int:
        return len(data)


def _dump_joblib(obj: Any, file: BinaryIO) -> set[str]:
    _joblib().dump(obj, file, protocol=PROTOCOL)
    # joblib takes no pickler of ours: what its file refers to is what a pickle would refer to. The bytes of arrays
    # stay where they are.
    modules = {"builtins", "joblib"}
    with contextlib.suppress(Exception):
        _noting(pickle.Pickler, modules)(_Nowhere(), PROTOCOL, buffer_callback=lambda _buffer: None).dump(obj)
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

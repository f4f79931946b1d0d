"""The format `numpy`: an array as .npy, a dict of arrays as .npz, nested ones and scalars as a zip file of .npy files.

Nothing is ever pickled.
"""

import io
import shutil
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO
from zipfile import ZipFile

from opstore_cli.objects import trees, zip_members
from opstore_cli.objects.format import Format, Trusted, Unfit, type_name
from opstore_cli.objects.libraries import require
from opstore_daemon.protocol.limits import READ_SIZE

NPY, ZIP = b"\x93NUMPY", b"PK"  # the first bytes of .npy and .npz
# numpy evaluates a header as a literal, and refuses to read a longer one.
MAX_HEADER = 10_000


def _numpy() -> Any:
    return require("numpy", "numpy", "the format numpy")


def _is_array(obj: object) -> bool:
    """Return whether it is an array that is restored exactly: a subclass would lose what it adds, such as a mask."""
    numpy: Any = sys.modules.get("numpy")  # if it was never imported, the object is no array
    return numpy is not None and type(obj) in (numpy.ndarray, numpy.memmap)


def _fits(obj: object) -> bool:
    return _is_array(obj) or _is_flat(obj) or trees.is_tree(obj, _is_array)


def _is_flat(obj: object) -> bool:
    """Return whether it is a dict of arrays, which numpy itself can read."""
    if type(obj) is not dict or not obj:
        return False
    return all(type(name) is str and _is_array(array) for name, array in obj.items())


def _dump(obj: Any, file: BinaryIO) -> set[str]:
    _numpy()
    if not _is_flat(obj) and trees.is_tree(obj, _is_array):
        trees.dump(obj, file, _check, _write)
    elif type(obj) is dict:
        with ZipFile(file, "w") as made:
            for name, array in obj.items():
                _check(array, f"[{name!r:.100}]")
                with made.open(_member(name, array), "w") as member:
                    _write(member, array)
    else:
        _check(obj, "")
        _write(file, obj)
    return {"numpy"}


def _check(array: Any, place: str) -> None:
    where = f"its {place}" if place else "it"
    if not _is_array(array):
        raise Unfit(f"{where} is a {type_name(type(array))}, which would not be restored exactly")
    if array.dtype.hasobject:
        raise Unfit(f"{where} has the dtype {array.dtype}, whose values would have to be pickled")
    if len(_header_text(array)) > MAX_HEADER - 500:
        raise Unfit(f"{where} has more fields than numpy can read")


def _member(name: Any, array: Any) -> Any:
    if type(name) is not str:
        raise Unfit(f"it has a key that is not a string: {name!r:.100}")
    info = zip_members.member(f"{name}.npy", array.nbytes + MAX_HEADER)
    if info.filename != f"{name}.npy":
        raise Unfit(f"its key {name!r:.100} can't be a file name in a zip file")
    return info


def _write(file: Any, array: Any) -> None:
    try:
        _header_text(array).encode("latin-1")
        version = 1, 0
    except UnicodeEncodeError:  # in the name of a field; numpy would warn about it
        version = 3, 0
    _numpy().lib.format.write_array(file, array, version, allow_pickle=False)


def _header_text(array: Any) -> str:
    return str(_numpy().lib.format.dtype_to_descr(array.dtype))


def _load(file: BinaryIO, _trusted: Trusted) -> Any:
    start = file.read(len(NPY))
    file.seek(0)
    if start.startswith(ZIP):
        # Not numpy.load(): it finds only one of the keys `a` and `a.npy`.
        with ZipFile(file) as found:
            return trees.load(found, _read) if trees.TREE in found.namelist() else dict(_members(found))
    if start != NPY:
        raise Unfit("it is neither a .npy nor a .npz file")
    return _read(file)


def _members(found: ZipFile) -> Iterator[tuple[str, Any]]:
    for info in found.infolist():
        with found.open(info) as member:
            yield info.filename.removesuffix(".npy"), _read(member)


def _read(file: Any) -> Any:
    return _numpy().lib.format.read_array(file, allow_pickle=False, max_header_size=MAX_HEADER)


def copy_without_padding(source: Any, target: Any) -> None:
    """Copy a .npy file, with zeros in the bytes of each record that belong to no field."""
    form = _numpy().lib.format
    start = io.BytesIO()
    recorded = _Tee(source, start)
    version = form.read_magic(recorded)
    read_header = form.read_array_header_1_0 if version == (1, 0) else form.read_array_header_2_0
    _, _, dtype = read_header(recorded, max_header_size=sys.maxsize)  # we wrote it
    target.write(start.getvalue())
    padding = _padding(dtype)
    if not padding.any():
        shutil.copyfileobj(source, target)
        return
    while block := source.read(dtype.itemsize * max(1, READ_SIZE // dtype.itemsize)):
        records = _numpy().frombuffer(bytearray(block), "u1").reshape(-1, dtype.itemsize)
        records[:, padding] = 0
        target.write(records)


def _padding(dtype: Any) -> Any:
    """Return which bytes of a record belong to no field."""
    padding = _numpy().full(dtype.itemsize, dtype.names is not None)
    for field, offset, *_ in (dtype.fields or {}).values():
        padding[offset : offset + field.itemsize] = False
    return padding


class _Tee:
    """A file that copies what is read from it."""

    def __init__(self, source: Any, copy: Any) -> None:
        self._source, self._copy = source, copy

    def read(self, size: int) -> Any:
        data = self._source.read(size)
        self._copy.write(data)
        return data


NUMPY = Format(
    "numpy",
    "an array, as .npy; a dict of arrays, as .npz; numpy scalars, and nested dicts and lists of these and of plain "
    "data. Never arrays of objects",
    _dump,
    _load,
    fits=_fits,
    library="numpy",
    extra="numpy",
)

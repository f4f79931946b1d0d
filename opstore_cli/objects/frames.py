"""The format `parquet`: DataFrames and Series of pandas, by pyarrow. No code of the file runs."""

import json
import sys
from typing import Any, BinaryIO

from opstore_cli.objects.format import Format, Trusted, Unfit, type_name
from opstore_cli.objects.libraries import require

_WHAT = "the format parquet"
_SERIES = b"opstore.series"  # in the file's metadata: the name of a Series, as JSON
_COLUMN = "values"


def _pandas() -> Any:
    return require("pandas", "parquet", _WHAT)


def _parquet() -> Any:
    return require("pyarrow.parquet", "parquet", _WHAT)


def _kind(obj: object) -> str | None:
    """Return `DataFrame` or `Series` for exactly these types: a subclass would lose what it adds."""
    pandas: Any = sys.modules.get("pandas")  # if it was never imported, the object is neither
    if pandas is None:
        return None
    return {pandas.DataFrame: "DataFrame", pandas.Series: "Series"}.get(type(obj))


def _fits(obj: object) -> bool:
    return _kind(obj) is not None


def _dump(obj: Any, file: BinaryIO) -> set[str]:
    kind = _kind(obj)
    if kind is None:
        raise Unfit(f"it is a {type_name(type(obj))}, not a DataFrame or a Series of pandas")
    pandas, parquet, arrow = _pandas(), _parquet(), require("pyarrow", "parquet", _WHAT)
    frame, extra = (obj, {}) if kind == "DataFrame" else (obj.to_frame(_COLUMN), {_SERIES: _name(obj.name)})
    if kind == "DataFrame" and not all(isinstance(name, str) for name in frame.columns):
        raise Unfit("its columns have names that are not strings, which Parquet would change")
    table = arrow.Table.from_pandas(frame)
    parquet.write_table(table.replace_schema_metadata({**(table.schema.metadata or {}), **extra}), file)
    # What Parquet changes depends on the values: objects of several types, times with two zones, an index of another
    # class. So the file is read back.
    file.seek(0)
    _check_same(obj, _load(file, None), pandas)
    file.seek(0, 2)
    return {"pandas", "pyarrow"}


def _name(name: object) -> bytes:
    if type(name) not in (str, int, float, bool, type(None)):
        raise Unfit(f"its name is a {type_name(type(name))}")
    return json.dumps(name).encode()


def _check_same(obj: Any, restored: Any, pandas: Any) -> None:
    check = pandas.testing.assert_frame_equal if _kind(obj) == "DataFrame" else pandas.testing.assert_series_equal
    try:
        check(obj, restored, check_exact=True, check_freq=False)
    except AssertionError as error:
        reason = " ".join(str(error).split())[:300]
        raise Unfit(f"Parquet would not restore it exactly: {reason}") from None


def _load(file: BinaryIO, _trusted: Trusted) -> Any:
    _pandas()
    table = _parquet().read_table(file)
    name = (table.schema.metadata or {}).get(_SERIES)
    frame = table.to_pandas()
    if name is None:
        return frame
    series = frame[_COLUMN]
    series.name = json.loads(name)
    return series


PARQUET = Format(
    "parquet",
    "DataFrames and Series of pandas",
    _dump,
    _load,
    fits=_fits,
    library="pyarrow",
    extra="parquet",
)

"""Selections of columns by objects of pandas, such as `frame.columns[:2]`, as plain data: skops can't store them."""

import sys
from typing import Any

from opstore_cli.objects.libraries import require

_KIND = "pandas"  # the key that only a packed selection has: a column transformer takes no dict


def packed(selected: Any) -> Any:
    """Return an Index, a Series or an array of pandas as plain data, and any other selection as it is."""
    pandas: Any = sys.modules.get("pandas")  # if it was never imported, the selection is no object of it
    if pandas is None:
        return selected
    if isinstance(selected, pandas.api.extensions.ExtensionArray):
        return {_KIND: "array", "values": selected.tolist(), "dtype": str(selected.dtype)}
    if type(selected) not in (pandas.Index, pandas.Series):
        return selected
    plain = {"values": selected.tolist(), "dtype": str(selected.dtype), "name": selected.name}
    if type(selected) is pandas.Index:
        return {_KIND: "Index", **plain}
    index = packed(pandas.Index(selected.index.tolist(), dtype=selected.index.dtype, name=selected.index.name))
    return {_KIND: "Series", "index": index, **plain}


def unpacked(selected: Any) -> Any:
    """Return the selection that `packed` returned this for."""
    if not isinstance(selected, dict) or _KIND not in selected:
        return selected
    pandas = require("pandas", "parquet", "a pipeline whose columns were selected by an object of pandas")
    if selected[_KIND] == "array":
        return pandas.array(selected["values"], dtype=selected["dtype"])
    plain = {"dtype": selected["dtype"], "name": selected["name"]}
    if selected[_KIND] == "Index":
        return pandas.Index(selected["values"], **plain)
    return pandas.Series(selected["values"], index=unpacked(selected["index"]), **plain)

"""The format `skops`: scikit-learn's models, loaded without running code in the file."""

import json
import shutil
import sys
import tempfile
from pathlib import PurePosixPath
from typing import Any, BinaryIO
from zipfile import ZipFile

from opstore_cli.objects import arrays, zip_members
from opstore_cli.objects.format import Format, Trusted, Unfit, UntrustedFound
from opstore_cli.objects.libraries import modules_of, require

SCHEMA = "schema.json"

_SEARCH_TREES = ("sklearn.neighbors._kd_tree", "sklearn.neighbors._ball_tree")
_COUNTERS = slice(7, 11)  # of the state of a search tree: n_trims, n_leaves, n_splits and n_calls
_VECTORIZERS, _ADDRESS = "sklearn.feature_extraction.text", "_stop_words_id"


def _skops() -> Any:
    return require("skops.io", "skops", "the format skops")


def _dump(obj: Any, file: BinaryIO) -> set[str]:
    with tempfile.TemporaryFile() as written:
        _skops().dump(obj, written)
        return _rewrite(written, file) | {"builtins", "skops"}


def _rewrite(written: BinaryIO, file: BinaryIO) -> set[str]:
    """Copy a skops file in a deterministic form, and return the names of its modules.

    skops names objects and members of its zip file after their addresses in memory; this function numbers them. The
    bytes between the fields of an array's records, such as the nodes of a tree, hold whatever the memory held before.
    """
    with ZipFile(written) as given, ZipFile(file, "w") as made:
        members = [info for info in given.infolist() if info.filename != SCHEMA]
        names = {info.filename: f"{n}{PurePosixPath(info.filename).suffix}" for n, info in enumerate(members)}
        schema = _Schema(names)
        # Twice: what is left out shall not count among the ids.
        lasting = json.dumps(json.loads(given.read(SCHEMA), object_hook=_without_traces))
        described = json.loads(lasting, object_hook=schema.rewrite)
        for info in members:
            with (
                given.open(info) as source,
                made.open(zip_members.member(names[info.filename], info.file_size), "w") as copy,
            ):
                if info.filename.endswith(".npy"):
                    arrays.copy_without_padding(source, copy)
                else:
                    shutil.copyfileobj(source, copy)
        made.writestr(zip_members.member(SCHEMA), json.dumps(described))
    return schema.modules


def _without_traces(node: dict[str, Any]) -> dict[str, Any]:
    """Take out of a node of a schema what differs after each fit, or after each use, of the same model.

    That is the address of the stop words of a text vectorizer, which scikit-learn compares to check them only once, and
    the statistics of the queries of a search tree.
    """
    module, content = node.get("__module__"), node.get("content")
    if node.get("__loader__") != "ObjectNode" or not isinstance(module, str) or not isinstance(content, dict):
        return node
    if module in _SEARCH_TREES:
        for counter in content["content"][_COUNTERS]:
            counter["content"] = "0"
    elif module == _VECTORIZERS and _ADDRESS in content["content"]:
        place = list(content["content"]).index(_ADDRESS)
        del content["content"][_ADDRESS], content["key_types"]["content"][place]
    return node


class _Schema:
    """Rewrites the schema of a skops file with new object ids and member names, and collects its modules."""

    def __init__(self, files: dict[str, str]) -> None:
        self._files = files
        self.modules: set[str] = set()
        self._ids: dict[object, int] = {}

    def rewrite(self, node: dict[str, Any]) -> dict[str, Any]:
        """Rewrite one object of the JSON document. skops wraps the user's dicts, so they are not mistaken for one."""
        known, file, module, kind = (node.get(key) for key in ("__id__", "file", "__module__", "__class__"))
        if isinstance(known, int):
            # Whether two equal numbers or texts are one object depends on how they were made.
            single = object() if node.get("__loader__") == "JsonNode" else known
            node["__id__"] = self._ids.setdefault(single, len(self._ids) + 1)
        if isinstance(file, str) and file in self._files:
            node["file"] = self._files[file]
        if isinstance(module, str) and isinstance(kind, str):
            is_object = node.get("__loader__") == "ObjectNode"
            if is_object and _loses_content(getattr(sys.modules.get(module), kind, None)):
                instead = "keep a list in its place, as list(frame.columns) for frame.columns.values"
                raise Unfit(f"skops would not store what is in a {module}.{kind}; {instead}")
            self.modules.add(module)
            self.modules.update(modules_of(getattr(sys.modules.get(module), kind, None)))
        return node


def _loses_content(kind: Any) -> bool:
    """Return whether skops stores no content of such objects: the arrays of pandas on top of one of numpy.

    The first use of a restored one may end the interpreter.
    """
    return any(base.__name__ == "NDArrayBacked" for base in getattr(kind, "__mro__", ()))


def _load(file: BinaryIO, trusted: Trusted) -> Any:
    skops = _skops()
    names = [kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__name__}" for kind in trusted or ()]
    untrusted = set(skops.get_untrusted_types(file=file)) - set(names)
    if untrusted:
        raise UntrustedFound(sorted(untrusted))
    file.seek(0)
    return skops.load(file, trusted=names)


SKOPS = Format(
    "skops",
    "scikit-learn's models; types that skops does not know have to be named to be loaded",
    _dump,
    _load,
    library="skops",
    extra="skops",
)

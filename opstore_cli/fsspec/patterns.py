"""Patterns of paths, such as `pca@*` and `tokenizer@1.0.0/*.json`, and what is below a path."""

import os
from glob import has_magic
from typing import Any

from opstore_cli.fsspec import paths


class Patterns:
    """A mixin of the file system, before AbstractFileSystem."""

    _find: Any
    find: Any
    _strip_protocol: Any

    def glob(self, path: str, maxdepth: int | None = None, **options: Any) -> Any:
        """Return the paths that match. `pca@*` are the versions of an op; a selector is no pattern: `pca@==1.2.*`."""
        path = self._strip_protocol(path)
        paths.check_not_versioned(path)
        first, slash, rest = path.partition("/")
        if has_magic(path) and paths.is_reference(first):
            try:
                path = f"{self._find(first)[0]}{slash}{rest}"
            except FileNotFoundError:
                return {} if options.get("detail") else []
        elif "@" in first:
            options["versions_of"] = first.partition("@")[0]
        return super().glob(path, maxdepth, **options)  # type: ignore[misc]

    def expand_path(self, path: Any, recursive: bool = False, maxdepth: int | None = None, **options: Any) -> list[str]:
        """Return the paths that match; for a bare name, those in its latest version."""
        found: set[str] = set()
        literal = options.pop("assume_literal", False)
        for each in map(self._strip_protocol, [path] if isinstance(path, str | os.PathLike) else path):
            if paths.is_glob(each) and not literal:
                found.update(super().expand_path([each], recursive, maxdepth, **options))  # type: ignore[misc]
                continue
            if recursive and paths.is_reference(each):
                each = str(self._find(each)[0])
            found.add(each)
            if recursive:
                found.update(self.find(each, maxdepth=maxdepth, withdirs=True, **options))
        return sorted(found)

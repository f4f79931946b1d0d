"""The paths of the file system: `NAME[@SELECTOR][/PATH_IN_FOLDER]`, without the protocol."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from glob import has_magic
from typing import TypeVar

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.references import Latest, Reference, Tag

E = TypeVar("E", bound=errors.OpStoreError)

PROTOCOL = "opstore"
_KEDRO_STAMP = re.compile(r"\*|\d{4}-\d\d-\d\dT\d\d\.\d\d\.\d\d\.\d{3}Z", re.ASCII)


def strip(path: str) -> str:
    """Return the path without protocol, slashes at its ends, and the op before a version of it: `pca/pca@1.0.0`.

    A walk and `UPath.iterdir` make such paths, as an op lists its versions.
    """
    path = path.removeprefix(f"{PROTOCOL}://").removeprefix(f"{PROTOCOL}::").strip("/")
    op, _, rest = path.partition("/")
    return rest if op and "@" not in op and rest.startswith(f"{op}@") else path


def parse(path: str) -> tuple[Reference, str]:
    """Return the reference and the path in the folder, which may be empty.

    Raises InvalidName, InvalidReference, InvalidVersion and PathRefused.
    """
    check_not_versioned(path)
    if path in ("", "."):
        # In the message itself: Kedro shows that of the cause, without its notes.
        raise refusal(path, "it names no op; Kedro drops the host of a URL, so write opstore:///NAME there", "")
    text, _, member = path.partition("/")
    return Reference.of(*_parts(text)), member


def parse_target(path: str) -> tuple[str, list[str]]:
    """Return the op that a write to the path makes a version of, and the tags to move to it. Raises PathRefused."""
    reference, member = parse(path)
    if member:
        advice = f"client.push({str(reference.op)!r}, FOLDER) stores a folder"
        raise refusal(path, "a file can't be added to a folder, which is stored as a whole", advice)
    if isinstance(reference.selector, Latest):
        return reference.op, []
    if isinstance(reference.selector, Tag) and reference.selector.name.digits() is None:
        return reference.op, [reference.selector.name]
    advice = f"write to opstore://{reference.op}, which adds a version; the store assigns its number"
    raise refusal(path, "a stored version never changes", advice)


def check_not_versioned(path: str) -> None:
    """Raise PathRefused for a path that Kedro makes for `versioned: true`: NAME/TIME/NAME."""
    parts = path.split("/")
    if len(parts) > 2 and parts[-1] == parts[-3] and _KEDRO_STAMP.fullmatch(parts[-2]):
        reason = "opstore itself keeps the versions of an op: remove 'versioned: true' from the catalog"
        raise refusal(path, reason, f"to pin a version: filepath: opstore:///{parts[-1]}@1.0.0")


def is_glob(path: str) -> bool:
    """Return whether the path is a pattern, and not one of a reference such as `pca@==1.2.*`."""
    first, _, rest = path.partition("/")
    return has_magic(rest) or (has_magic(first) and not is_reference(first))


def is_reference(text: str) -> bool:
    """Return whether the text is a reference."""
    try:
        Reference.of(*_parts(text))
    except errors.OpStoreError:
        return False
    return True


def refusal(path: str, reason: str, advice: str) -> errors.PathRefused:
    """Return the error for something that the file system does not do."""
    return noted(errors.PathRefused(path=strip(path), reason=reason, advice=advice))


def noted(error: E) -> E:
    """Return the error with its advice in the traceback."""
    error.set_notes([error.advice] if error.advice else [])
    return error


@contextmanager
def missing(path: str) -> Iterator[None]:
    """Raise PathNotFound in place of the errors that mean that nothing is at the path."""
    try:
        yield
    except (errors.NotFound, errors.InvalidName, errors.InvalidReference, errors.InvalidVersion) as error:
        advice = "\n".join(getattr(error, "__notes__", ())) or error.in_python("open()")
        raise noted(errors.PathNotFound(path=path, reason=error.text, advice=advice)) from error


def _parts(text: str) -> tuple[str, str | None]:
    op, at, selector = text.partition("@")
    return op, selector if at else None

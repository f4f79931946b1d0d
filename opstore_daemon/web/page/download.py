"""The bytes of a version as a file that the browser saves."""

from flask import Response

from opstore_daemon.protocol import errors, routes
from opstore_daemon.protocol.file_suffixes import safe_suffix
from opstore_daemon.protocol.records import VersionRecord
from opstore_daemon.protocol.references import Reference
from opstore_daemon.web.framework.blob_body import blob_body
from opstore_daemon.web.framework.routing import Api, store
from opstore_daemon.web.page.rendering import AsOf


def download(_api: Api, reference: Reference, query: AsOf) -> Response:
    """Return the bytes of a version, which a browser saves and never shows."""
    version = store().show(reference, as_of=query.value)
    if version.digest is None or version.size is None:
        raise errors.NotStored(op=version.op, version=version.version)
    headers = {
        # The name has only the characters of an op's name, a number and a safe suffix (RFC 6266, section 4.3).
        "Content-Disposition": f'attachment; filename="{file_name(version)}"',
        "Content-Length": str(version.size),
    }
    try:
        reader = store().read(version)
    except errors.BlobDamaged:
        store().show(Reference.of(version.op, version.version))  # raises VersionRemoved, which explains it
        raise
    body = blob_body(reader)
    return Response(body, headers=headers, content_type=routes.BYTES_TYPE, direct_passthrough=True)


def file_name(version: VersionRecord) -> str:
    """Return the name under which a browser saves the bytes of a version, with the suffix of the stored file."""
    suffix = ".tar" if version.is_folder else safe_suffix(version.filename)
    return f"{version.op}-{version.version}{suffix}"

"""What schemathesis has to know besides the document: bytes that are appended to an upload are bytes."""

import schemathesis

schemathesis.serializer.alias("application/partial-upload", "application/octet-stream")

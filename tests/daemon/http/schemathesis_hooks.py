"""Hooks of schemathesis: the body of an append is bytes."""

import schemathesis

schemathesis.serializer.alias("application/partial-upload", "application/octet-stream")

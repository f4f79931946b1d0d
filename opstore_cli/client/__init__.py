"""The Python client: verbs by noun, the chariots verbs, warnings, and pickling."""

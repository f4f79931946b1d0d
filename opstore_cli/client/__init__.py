"""The Python client: every verb by noun, and the chariots verbs."""

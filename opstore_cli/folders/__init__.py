"""A folder as one deterministic tar stream: format, packing, unpacking."""

"""A folder as one deterministic tar stream (protocol.folder_format): packing, unpacking."""

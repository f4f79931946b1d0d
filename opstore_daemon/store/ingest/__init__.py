"""The ingestion of bytes: uploads, and the versions made of them."""

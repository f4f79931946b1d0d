"""Upload and download bytes: checksum, retry, resume state, parallel transfers."""

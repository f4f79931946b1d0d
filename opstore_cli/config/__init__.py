"""Settings, URLs, tokens and credentials."""

"""The HTTP API: guarded, strict about what comes in, and one shape for every refusal."""

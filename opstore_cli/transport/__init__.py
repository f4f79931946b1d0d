"""Requests to one daemon: which one, over which connections, as which records."""

"""Requests to one daemon: its location, the HTTP connections, the API client."""

"""Helpers for the operating system that the client and the daemon share."""

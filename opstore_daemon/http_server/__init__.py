"""Waitress, subclassed: listener, request parser, channel, file wrapper."""

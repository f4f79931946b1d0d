"""Reads that only the web page needs."""

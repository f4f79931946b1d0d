"""Copies of versions from one store to another."""

"""Versions on their way from one store to another: selected, exported to a folder, and added to a store."""

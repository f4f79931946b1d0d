"""Bytes coming in: uploads, and the versions made of them."""

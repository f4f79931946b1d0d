"""Pipelines of scikit-learn, with the real library."""

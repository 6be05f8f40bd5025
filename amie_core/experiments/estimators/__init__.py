"""Notebook 02: tasks of known mutual information, and what every estimator says of them."""

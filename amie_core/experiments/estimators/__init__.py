"""Notebook 02: estimators against known truth, both strategies on a toy, sound against lips."""

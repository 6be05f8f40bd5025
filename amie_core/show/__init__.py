"""Figures and clips that survive GitHub, print and an untrusted notebook."""

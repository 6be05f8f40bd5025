"""The embedded corpus: speech and a talking face drawn from one articulation, exact truth."""

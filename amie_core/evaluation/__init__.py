"""How well faces talk: metrics by name and variant, reference rows, distances, judges."""

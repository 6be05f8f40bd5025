"""AMIE paper companion: the models and losses of Arbitrary Talking Face Generation (IJCAI 2020)."""

"""How a method learns: AMIE's own step, the loop, windows, checkpoints."""

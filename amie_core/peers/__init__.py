"""The four methods that the paper compares with, and three more of its section 2, re-implemented
compactly, one file each.

No trained weights of them can be had, so they are trained here: on the same windows, steps, seeds
and identity face as AMIE, by the same loop, evaluated by the same code. Each file opens with a
ledger of what was simplified and why.
"""

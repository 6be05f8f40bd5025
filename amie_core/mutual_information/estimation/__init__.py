"""Nats from two arrays: critics, how they are fitted and read out."""

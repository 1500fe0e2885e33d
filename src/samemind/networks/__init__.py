"""Comparing one's own models: where they, their inputs and their activations come from."""

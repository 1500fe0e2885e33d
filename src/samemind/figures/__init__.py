"""The family of figures: one file per member."""

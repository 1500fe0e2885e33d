"""The family of measures: one file per member."""

"""The family of datasets: one file per member."""

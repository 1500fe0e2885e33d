"""The family of architectures: one file per member."""

"""What models are compared on: one file per kind."""

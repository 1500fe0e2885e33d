"""What is known of one model on one input set, each part made once."""

"""Rules under which one model may take the place of another, and what they say: for CI."""

"""What scripts/bench is made of: the place it works in, its rows, and how they are measured and shown."""

"""A tracker of training runs, which is in `tracker`."""

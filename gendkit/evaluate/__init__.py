"""Evaluation on held-back data, and the demo that runs the whole path."""

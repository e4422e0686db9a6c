"""Evaluation: benchmarks, studies and the demo, and what a single detector is asked."""

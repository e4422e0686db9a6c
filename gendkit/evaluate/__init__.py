"""Evaluation on held-back data: benchmarks, studies, calibration, cards, and the demo."""

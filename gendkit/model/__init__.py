"""The detector: a frozen backbone, its tuned layer norms, the unit sphere and a linear head."""

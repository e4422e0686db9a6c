"""Studies: one question each, cells that are trained for it, and what their scores say."""

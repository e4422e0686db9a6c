"""The benchmark: each detector on each data set once, and how sure the tables of that are."""

"""Self-contained pages: a value enters, one HTML document leaves."""

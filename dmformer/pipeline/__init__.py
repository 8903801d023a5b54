"""The road from weights to verified bundles, over all the rooms; the command line and the public API stand on it."""

"""Commands that print the figures of the documentation: `python -m benchmarks.NAME` from a checkout."""

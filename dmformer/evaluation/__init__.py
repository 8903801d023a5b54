"""Accuracy against the reference, predictions, latency."""

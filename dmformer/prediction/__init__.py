"""Engines in applications: images in, answers out. Needs no torch."""

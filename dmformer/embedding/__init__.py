"""Engines in applications: a small project in the application's language, made from a bundle.

Needs no torch. `project.embed` writes it; each language is one file beside it, its sources are real files under
``templates/``, and what differs from bundle to bundle is in one generated file of parameters.
"""

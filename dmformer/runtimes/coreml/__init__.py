"""Core ML: packages built on any system, run by Core ML itself on a Mac and by an evaluator of ML Programs elsewhere.

`runtime` builds and opens, `session` runs a package in the evaluator, `device` in Core ML, and `neural_engine` tells
from Apple's public guidance what may fall back from the Neural Engine.
"""

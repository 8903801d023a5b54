"""The version, for those that write it down: importing it imports nothing else."""

__version__ = "0.1.0"

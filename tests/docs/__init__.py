"""The documentation: it builds, its blocks run, and it names everything."""

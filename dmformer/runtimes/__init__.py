"""One file per runtime, and a registry that imports on use."""

"""How fast an engine is: every candidate in its own process, all interleaved, judged by paired slices."""

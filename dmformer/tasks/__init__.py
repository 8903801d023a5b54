"""What an engine is for: one file for each task, and the table of them."""

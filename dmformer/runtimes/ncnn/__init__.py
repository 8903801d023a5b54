"""ncnn on the CPU: its files read and checked, its engines opened, and what their layers compute in."""

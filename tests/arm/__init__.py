"""Arm for real, by emulation: an aarch64 machine behind a real sshd, on loopback.

These are tests, not benchmarks: they assert, and measure nothing. What an emulator takes says nothing about any board,
so no latency from here is shown or kept. They are outside of ``make test``, which needs neither Debian nor user
namespaces; ``make arm`` runs them.
"""

"""NVIDIA engines: TensorRT and TensorRT for RTX, one implementation over two libraries.

`libraries` is the table of their differences; nothing else asks which of the two it is working with. `plan` is what a
build is asked for, `builder` makes the engine (in the child process), `layers` reads back what it computes in,
`stamp` says where it may be opened, `session` runs it, and `runtime` is what the registry knows.
"""

"""The canonical PyTorch module as a Core ML package, written with coremltools on any system.

`plan` is what a build is asked for, `network` prepares the module (pixels in, probabilities out), `conversion` turns it
into an ML Program, `quantization` writes W8A16 and W8A8 into that program with this project's own ranges, and `package`
puts it on disk.
"""

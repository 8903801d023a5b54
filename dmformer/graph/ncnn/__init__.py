"""ncnn's files from the canonical graph: the layers that are written, what each must be, and the conversion.

Only `conversion` needs ``onnx``: a device reads files with the rest.
"""

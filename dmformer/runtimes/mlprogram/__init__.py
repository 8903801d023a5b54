"""ML Programs, read and executed without Core ML: from the ``.mlpackage``'s own files to arrays, in ONNX Runtime.

`messages` reads the protobuf of the specification, `blob` the file of the weights, `package` puts the two together,
`operators` holds one small function for each operator, which `writer` writes as ONNX, and `evaluator` runs the result.
"""

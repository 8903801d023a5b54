"""ML Programs, read and executed without Core ML: from the ``.mlpackage``'s own files to arrays, with NumPy alone.

`messages` reads the protobuf of the specification, `blob` the file of the weights, `package` puts the two together,
`convolution` and `operators` hold one small function for each operator, and `evaluator` runs them in order.
"""

"""INT8 that keeps the answers: ranges, equalization, bias correction and the precision plan.

Everything here works on the canonical ONNX graph and on batches of float32 arrays; nothing needs torch.
The order of the work: `collect.calibrate` measures, `equalization` balances channels, an emitter of
`dmformer.graph.qdq` writes Q/DQ, `bias_correction` mends the means, and `plan` decides what stays float.
"""

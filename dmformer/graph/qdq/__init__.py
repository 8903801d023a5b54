"""Q/DQ: one set of activation ranges written into the ONNX graph by each runtime's rules.

`sites` names what can be quantized, `affine` holds the arithmetic of scales and zero points, `insertion`
writes QuantizeLinear/DequantizeLinear pairs, and one file per runtime decides where they go.
"""

"""The reference in PyTorch: configuration, network, checkpoints, canonical form."""

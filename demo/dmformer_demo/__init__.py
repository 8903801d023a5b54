"""A tiny DMFormer trained on Fashion-MNIST, its test set and 512 calibration images: data that `dmformer` finds."""

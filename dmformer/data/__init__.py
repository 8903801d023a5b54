"""Images and labels: from a folder, an ``.npz`` or IDX files to calibration and evaluation.

Start at `dmformer.data.open.open_dataset`; what it returns is a `dmformer.data.dataset.Dataset`. Nothing in
this room needs torch, and nothing in a file is ever unpickled or executed.
"""

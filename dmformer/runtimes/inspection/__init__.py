"""Looking into a runtime: what each layer takes, what its tensors hold, and the most that it gives on this machine.

One file per runtime, found by `dmformer.runtimes.inspection.registry.get_inspector`; nothing is imported before it
is used.
"""

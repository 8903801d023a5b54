"""Other machines: commands run there as if they were here. See `dmformer.devices.device`."""

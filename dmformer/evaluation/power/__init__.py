"""Power draw beside latency, by the sensors that a machine has on board: see `dmformer.evaluation.power.find`."""

"""What really executed: time, precision, distance to the machine's limits and error, by part of the model."""

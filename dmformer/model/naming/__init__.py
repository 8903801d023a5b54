"""From the names that another code base gave its tensors to the network's: dialects, rules of a person, proposals."""

"""The unit of work: condition C of replicate i with seed s, run or taken from the store."""

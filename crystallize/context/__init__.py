"""What one condition run knows and has done: values, seeds, trace, metrics, artifacts."""

"""What a user runs: data sources, steps, treatments, artifacts, and the functions behind them."""

"""The command ``crystallize``, beside ``pytest --crystallize``, which runs experiments."""

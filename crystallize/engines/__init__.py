"""Engines that run units of work outside this process: executors of any kind, and Dask."""

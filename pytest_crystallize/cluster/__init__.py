"""The Dask cluster of a session, and the modules that its workers are sent."""

"""One session in each of its processes: hooks, guards, what is shown and written."""

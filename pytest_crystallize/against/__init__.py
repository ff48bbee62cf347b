"""Another commit of the project, run beside the one that is checked out."""

from typing import Final

PROTOCOL: Final = 1
"""Version of what a session and its processes say to each other: another one with each change of it."""

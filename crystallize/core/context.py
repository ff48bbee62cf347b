"""The context, by the path that users know."""

from crystallize.context.context import FrozenContext

__all__ = ["FrozenContext"]

"""Treatments, by the path that users know."""

from crystallize.declare.treatment import Treatment, treatment

__all__ = ["Treatment", "treatment"]

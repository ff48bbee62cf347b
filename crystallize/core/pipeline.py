"""Pipelines, by the path that users know."""

from crystallize.run.pipeline import Pipeline, pipeline

__all__ = ["Pipeline", "pipeline"]

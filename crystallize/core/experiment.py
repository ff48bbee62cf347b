"""Experiments, by the path that users know."""

from crystallize.experiment.experiment import Experiment

__all__ = ["Experiment"]

"""Steps, by the path that users know."""

from crystallize.declare.pipeline_step import PipelineStep, exit_step, pipeline_step

__all__ = ["PipelineStep", "exit_step", "pipeline_step"]

"""Plugins: seeding, logging, artifacts and executions."""

from crystallize.run.plugins.artifacts import ArtifactPlugin
from crystallize.run.plugins.async_execution import AsyncExecution
from crystallize.run.plugins.base import BasePlugin
from crystallize.run.plugins.execution import Execution, ParallelExecution, SerialExecution
from crystallize.run.plugins.logging import LoggingPlugin
from crystallize.run.plugins.seed import SeedPlugin

__all__ = [
    "ArtifactPlugin",
    "AsyncExecution",
    "BasePlugin",
    "Execution",
    "LoggingPlugin",
    "ParallelExecution",
    "SeedPlugin",
    "SerialExecution",
]

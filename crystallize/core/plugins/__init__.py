"""Plugins: seeding, logging, artifacts and executions."""

from crystallize.core.plugins.artifacts import ArtifactPlugin
from crystallize.core.plugins.async_execution import AsyncExecution
from crystallize.core.plugins.base import BasePlugin
from crystallize.core.plugins.execution import Execution, ParallelExecution, SerialExecution
from crystallize.core.plugins.logging import LoggingPlugin
from crystallize.core.plugins.seed import SeedPlugin

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

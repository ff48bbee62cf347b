"""Plugins: seeding, logging, artifacts and executions."""

from crystallize.core.plugins.artifacts import ArtifactPlugin
from crystallize.core.plugins.base import BasePlugin
from crystallize.core.plugins.execution import Execution, ParallelExecution, SerialExecution
from crystallize.core.plugins.logging import LoggingPlugin
from crystallize.core.plugins.seed import SeedPlugin

__all__ = [
    "ArtifactPlugin",
    "BasePlugin",
    "Execution",
    "LoggingPlugin",
    "ParallelExecution",
    "SeedPlugin",
    "SerialExecution",
]

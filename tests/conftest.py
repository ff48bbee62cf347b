"""What all tests share.

pytester forgets the modules that its runs have loaded. Numpy can't be loaded a second time, and the others take
longer than a test; so all are loaded here.
"""

import asyncio  # noqa: F401

import hypothesis  # noqa: F401
import numpy  # noqa: F401
import scipy.special  # noqa: F401

import crystallize.core.experiment
import pytest_crystallize.distributed
import pytest_crystallize.session  # noqa: F401

pytest_plugins = ["pytester"]

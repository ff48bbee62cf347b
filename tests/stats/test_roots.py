"""Roots of functions that fall."""

import math

import pytest

from crystallize.stats.roots import falling_root, falling_root_from


@pytest.mark.parametrize(
    ("function", "root"),
    [
        (lambda x: 3 - 2 * x, 1.5),
        (lambda x: 2 - x**3, 2 ** (1 / 3)),
        (lambda x: math.exp(-x) - 1e-9, math.log(1e9)),
        (lambda x: math.inf if x < 70 else -math.inf if x > 80 else 77 - x, 77.0),
        (lambda x: 1.0 if x < 0.1 else -1.0, 0.1),
        (lambda x: 1e4 - x, 1e4),
    ],
    ids=["line", "cubic", "exponential", "infinite", "step", "far"],
)
@pytest.mark.parametrize("guess", [-7.0, 0.5, 500.0])
def test_a_root_is_found_from_anywhere(function, root, guess):
    """Also below the lowest place, where values are infinite, and where there is no slope to go by."""
    asked = []

    def counted(x):
        asked.append(x)
        return function(x)

    assert falling_root(counted, guess, step=0.25, low=-1.0) == pytest.approx(root, rel=2e-13)
    assert min(asked) > -1.0
    assert len(asked) < 80


@pytest.mark.parametrize("size", [1.0, 1e-200, 5e-324, 1e300])
def test_the_size_of_a_function_does_not_hide_its_sign(size):
    """The product of two of its values may be 0, or infinite, where neither of them is."""
    near = 0.5 if size < 1e-300 else 1e-9  # of the smallest float there is no half
    assert falling_root_from(lambda x: size * (3 - x), 0.5) == pytest.approx(3.0, abs=near)
    assert falling_root_from(lambda x: size if x < 3 else -size, 0.5) == pytest.approx(3.0)

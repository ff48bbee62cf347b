"""What keeps one unit from the next: fixtures, output, timers, forks, late errors."""

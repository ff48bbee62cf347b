"""The colours of the screen, in light and dark, and what each stands for."""

from __future__ import annotations

from typing import Final, Literal

from textual.theme import Theme

Meaning = Literal["good", "cached", "bad", "doubt", "faint", "plain", "name"]

DARK: Final = Theme(
    name="crystallize-dark",
    primary="#58a6ff",
    secondary="#79c0ff",
    accent="#d2a8ff",
    foreground="#e6edf3",
    background="#0f1419",
    surface="#151b22",
    panel="#202934",
    success="#7ee787",
    warning="#e3b341",
    error="#ff8b82",
    dark=True,
    variables={"footer-key-foreground": "#79c0ff", "faint": "#9aa5b1", "block-cursor-text-style": "none"},
)
LIGHT: Final = Theme(
    name="crystallize-light",
    primary="#0757b5",
    secondary="#0550ae",
    accent="#6639ba",
    foreground="#1b2128",
    background="#ffffff",
    surface="#f6f8fa",
    panel="#e4e9ef",
    success="#17692d",
    warning="#7a4b00",
    error="#b3171f",
    dark=False,
    variables={"footer-key-foreground": "#0757b5", "faint": "#57606a", "block-cursor-text-style": "none"},
)

STATUS: Final[dict[str, Meaning]] = {
    **dict.fromkeys(("supported", "no harm shown", "passed", "calibrated", "planned", "xfailed"), "good"),
    **dict.fromkeys(("refuted", "invalid", "failed", "error", "not run", "miscalibrated"), "bad"),
    "inconclusive": "bad",
    "skipped": "doubt",
}
"""What a status means for a gate: what is not shown to hold does not pass."""


class Palette:
    """Styles of one theme.

    Parameters
    ----------
    theme : str
        Its name; of one that is not ours, those of ours that is as dark.
    is_dark : bool
        Whether it is dark.
    """

    def __init__(self, theme: str, *, is_dark: bool) -> None:
        own = next((each for each in (DARK, LIGHT) if each.name == theme), DARK if is_dark else LIGHT)
        self.name = own.name
        self._styles: dict[Meaning, str] = {
            "good": str(own.success),
            "cached": own.variables["footer-key-foreground"],
            "bad": str(own.error),
            "doubt": str(own.warning),
            "faint": own.variables["faint"],
            "plain": str(own.foreground),
            "name": f"bold {own.foreground}",
        }

    def __getitem__(self, meaning: Meaning) -> str:
        return self._styles[meaning]

    def status(self, status: str) -> str:
        """Return the style of a status."""
        return self._styles[STATUS.get(status, "doubt")]

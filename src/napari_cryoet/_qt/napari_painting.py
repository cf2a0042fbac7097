"""All that is touched of napari beyond what napari promises where masks are painted; see `napari_internals`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from napari.layers import Layer

PAINTED_STEPS: Final = ("_undo_history", "_redo_history")  # of labels
_DRAWING: Final = frozenset({"paint", "erase", "fill"})


def painted_steps(layer: Layer) -> tuple[int, ...]:
    """How many steps of painting can be undone and done again, which napari tells nobody of; none of other layers."""
    return tuple(len(getattr(layer, name, ())) for name in PAINTED_STEPS)


class DrawnByHand:
    """Over labels: what somebody draws with the mouse passes by here, and nothing that a script paints."""

    def may_draw(self) -> bool:
        """Whether a stroke may begin."""
        return True

    def draw_by(self, draw: Callable[[], None]) -> None:
        """Draw, between one place of the mouse and the next."""
        draw()

    def _draw(self, *arguments: Any) -> None:
        self.draw_by(partial(super()._draw, *arguments))  # type: ignore[misc]

    @property
    def _drag_modes(self) -> dict[Any, Any]:
        """What napari calls in each mode where the mouse is pressed."""
        modes: dict[Any, Any] = super()._drag_modes  # type: ignore[misc]
        return {mode: _IfItMay(act) if str(mode) in _DRAWING else act for mode, act in modes.items()}


class _IfItMay:
    """What napari calls where the mouse is pressed to draw, once the layer was asked.

    It equals what it calls: napari finds it among a layer's callbacks also where that was drawn in before it was ours.
    """

    def __init__(self, act: Callable[[Any, Any], Any]) -> None:
        self.act = act

    def __call__(self, layer: Any, event: Any) -> Any:
        return self.act(layer, event) if layer.may_draw() else None

    def __eq__(self, other: object) -> bool:
        return bool(self.act == getattr(other, "act", other))

    def __hash__(self) -> int:
        return hash(self.act)

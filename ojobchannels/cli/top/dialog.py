"""A question above the table, with fields for what belongs to the reply."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static


class Dialog(ModalScreen[dict[str, str] | None]):
    """Asks a question; the result are the texts of its fields, or None if it was not confirmed.

    Args:
        question: The question, which Enter confirms.
        fields: The labels of the fields, by their names.
    """

    CSS = """
    Dialog { align: center middle; }
    Dialog > Vertical {
        width: 72; max-width: 95%; height: auto; border: round $accent; padding: 0 1;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "confirm", "Confirm"),
        Binding("escape", "leave", "Back"),
    ]

    def __init__(self, question: str, fields: Mapping[str, str]) -> None:
        super().__init__()
        self._question = question
        self._fields = fields

    def compose(self) -> ComposeResult:
        """Arrange the question above its fields."""
        with Vertical():
            yield Static(self._question, markup=False)
            for name, label in self._fields.items():
                yield Input(placeholder=label, id=name)
            yield Static("Enter: yes   Escape: no", markup=False)

    def on_input_submitted(self) -> None:
        """Confirm by Enter in a field, after the keys before it."""
        self.action_confirm()

    def action_confirm(self) -> None:
        """Return the texts of the fields."""
        self.dismiss({str(field.id): field.value.strip() for field in self.query(Input)})

    def action_leave(self) -> None:
        """Return without a result."""
        self.dismiss(None)

"""The live view: a table that is read again and again, and keys that act on its rows."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import Any, ClassVar, Final

from rich.text import Text
from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import DataTable, Footer, Static

from ojobchannels.cli.errors import INTERRUPTED
from ojobchannels.cli.tables import Row, fitted
from ojobchannels.cli.top.actions import ACTIONS, Act
from ojobchannels.cli.top.board import COLUMNS, Board, Line, read_board
from ojobchannels.cli.top.dialog import Dialog
from ojobchannels.errors import ChannelError
from ojobchannels.host.clock import now_ms
from ojobchannels.host.terminal import local_time
from ojobchannels.manager import JobManager
from ojobchannels.printable import printable

_SECONDS: Final = 1.0
_PADDING: Final = 2
"""The columns that the table needs for its scroll bar."""


class Top(App[int]):
    """The application.

    Args:
        manager: The manager, whose channels are read.
    """

    CSS = """
    #summary { height: 1; padding: 0 1; text-style: bold; }
    #message { height: auto; max-height: 3; padding: 0 1; }
    DataTable { height: 1fr; }
    """
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "leave", "Quit"),
        Binding("ctrl+c", "interrupt", "Quit", show=False, priority=True),
        *(Binding(act.key, f"act('{act.name}')", act.label) for act in ACTIONS.values()),
    ]

    def __init__(self, manager: JobManager) -> None:
        super().__init__()
        self._manager = manager
        self._board = Board(())

    def compose(self) -> ComposeResult:
        """Arrange the summary, the table, the message and the keys."""
        yield Static("reading ...", id="summary", markup=False)
        yield DataTable(cursor_type="row", zebra_stripes=True)
        yield Static("", id="message", markup=False)
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Begin to read; end in order when the process is asked to."""
        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, self.action_interrupt)
        self.read_again()
        self.set_interval(_SECONDS, self.read_again)

    def on_resize(self) -> None:
        """Fit the table to the new width."""
        self._draw()

    def action_leave(self) -> None:
        """End the view."""
        self.exit(0)

    def action_interrupt(self) -> None:
        """End the view with the status of an interruption."""
        self.exit(INTERRUPTED)

    def action_act(self, name: str) -> None:
        """Ask whether to act on the selected row, and do so."""
        act, line = ACTIONS[name], self._selected
        if line is None:
            return
        reason = act.refusal(line)
        if reason is not None:
            self._show_message(reason)
            return

        def confirmed(reply: dict[str, str] | None) -> None:
            if reply is not None:
                self._act(act, line, reply)

        self.push_screen(Dialog(act.question(line), act.fields), confirmed)

    @work(thread=True, exclusive=True, group="read")
    def read_again(self) -> None:
        """Read what is shown; an error is shown beside what was read before."""
        try:
            board = read_board(self._manager)
        except ChannelError as error:
            self._from_thread(self._show_message, " ".join(str(error).split()))
        else:
            self._from_thread(self._show, board)

    @work(thread=True, group="act")
    def _act(self, act: Act, line: Line, reply: dict[str, str]) -> None:
        try:
            message = act.run(self._manager, line, reply)
        except (ChannelError, ValueError) as error:
            message = " ".join(str(error).split())
        self._from_thread(self._show_message, message)
        self._from_thread(self.read_again)

    def _from_thread(self, call: Callable[..., Any], *args: Any) -> None:
        if self.is_running:
            self.call_from_thread(call, *args)

    def _show(self, board: Board) -> None:
        self._board = board
        summary = f"{local_time(now_ms())}  {board.summary}"
        self.query_one("#summary", Static).update(printable(summary))
        self._draw()

    def _show_message(self, message: str) -> None:
        self.query_one("#message", Static).update(printable(message))

    @property
    def _selected(self) -> Line | None:
        at = self.query_one(DataTable).cursor_row
        return self._board.lines[at] if 0 <= at < len(self._board.lines) else None

    def _draw(self) -> None:
        """Draw the rows again; the row of the same job stays selected."""
        table: DataTable[Text] = self.query_one(DataTable)
        rows: list[Row] = [line.row for line in self._board.lines]
        if not rows:
            return
        selected = self._names(table)
        columns, (titles, *lines) = fitted(rows, COLUMNS, self.size.width - _PADDING - 1)
        top = table.scroll_y
        table.clear(columns=True)
        for title in titles:
            table.add_column(Text(title), width=None)
        for line, cells in zip(self._board.lines, lines, strict=True):
            texts = [
                Text(text, style=column.colours.get(text.partition(" ")[0], ""))
                for column, text in zip(columns, cells, strict=True)
            ]
            table.add_row(*texts, key=line.name)
        names = [line.name for line in self._board.lines]
        table.move_cursor(row=names.index(selected) if selected in names else 0)
        table.scroll_to(y=top, animate=False)

    @staticmethod
    def _names(table: DataTable[Text]) -> str | None:
        if not table.row_count:
            return None
        return table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value

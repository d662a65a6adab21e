"""HTML from the board: the page, and the fragments that replace its sections."""

from __future__ import annotations

from collections.abc import Iterable

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from torq_services.instance.config import Config
from torq_types import Domain
from torq_web.board import SECTIONS, Board, Section

__all__ = ["Pages"]


class Pages:
    """Renders; each section once per change, however many browsers look."""

    def __init__(self, board: Board, config: Config) -> None:
        self._board = board
        self._config = config
        self._environment = Environment(
            loader=PackageLoader("torq_web"),
            autoescape=select_autoescape(),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._cache: dict[Section, tuple[int, str]] = {}

    def page(self) -> str:
        """The whole page as it stands now: it is of use before the WebSocket opens, or without."""
        sections = {name: self._section(name) for name in SECTIONS}
        return self._environment.get_template("page.html").render(
            sections=sections, is_sample=self._config.is_sample, config=self._config
        )

    def fragments(self, names: Iterable[Section]) -> str:
        """The sections ``names``, each with the place that it belongs in."""
        return "".join(
            f'<hx-partial hx-target="#{name}" hx-swap="innerHTML">'
            f"{self._section(name)}</hx-partial>"
            for name in names
        )

    def _section(self, name: Section) -> str:
        version = self._board.versions[name]
        cached = self._cache.get(name)
        if cached is None or cached[0] != version:
            template = self._environment.get_template(f"{name}.html")
            html = template.render(board=self._board, domains=[d.slug for d in Domain])
            cached = self._cache[name] = (version, html)
        return cached[1]

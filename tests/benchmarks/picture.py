"""The benchmarks' picture: one bar for each contender, as plain SVG."""

from __future__ import annotations

from html import escape

__all__ = ["picture"]

CHARTS = (
    ("Relay, 1 to 1 (million 128-byte messages a second)",
     [f"relay 1 to 1, {name}" for name in ("torq", "zeromq", "nats", "raw copy")], False),
    ("Relay, 1 to 4 (million messages a second to each)",
     [f"relay 1 to 4, {name}" for name in ("torq", "zeromq", "nats", "raw copy")], False),
    ("Build a message (million a second)",
     [f"build, {name}" for name in ("compiled", "msgspec", "protobuf", "struct and zlib", "pure")],
     False),
    ("Parse and verify a message (million a second)",
     [f"parse, {name}" for name in ("compiled", "msgspec", "protobuf", "struct and zlib", "pure")],
     False),
    ("One message, p50 (microseconds, less is better)",
     ["latency p50, torq, busy_poll", "latency p50, torq, sleeping",
      "latency p50, zeromq, sleeping"], True),
)  # fmt: skip
BAR, GAP, LEFT, WIDE = 18, 6, 210, 420


def picture(medians: dict[str, float]) -> str:
    """Every chart below the other; readable on light and dark ground."""
    lines: list[str] = []
    y = 8
    for title, names, is_delay in CHARTS:
        figures = {
            name: medians[name] * 1e6 if is_delay else 1 / medians[name] / 1e6
            for name in names
            if name in medians
        }
        if not figures:
            continue
        y += 20
        lines.append(f'<text x="8" y="{y}" class="t">{escape(title)}</text>')
        y += 8
        most = max(figures.values())
        for name, value in figures.items():
            wide = max(1, int(WIDE * value / most))
            label = name.split(", ", 1)[1]
            ours = "o" if label.startswith(("torq", "compiled", "pure")) else "r"
            lines.append(
                f'<text x="{LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(label)}</text>'
                f'<rect x="{LEFT}" y="{y}" width="{wide}" height="{BAR}" class="{ours}"/>'
                f'<text x="{LEFT + wide + 6}" y="{y + 14}">{value:.3g}</text>'
            )
            y += BAR + GAP
        y += 10
    style = (
        "text{font:13px sans-serif;fill:#888}.t{font-weight:bold}.o{fill:#2a9d63}.r{fill:#9aa5b1}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDE + 80}" height="{y}" '
        f'role="img"><style>{style}</style>\n' + "\n".join(lines) + "\n</svg>\n"
    )

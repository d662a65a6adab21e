#!/usr/bin/env bash
# The same words as 'torq' (up, down, status, logs, test, ...), on a machine that may not have uv.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v uv >/dev/null; then
    export PATH="$HOME/.local/bin:$PATH"
fi
if ! command -v uv >/dev/null; then
    echo "uv is missing; installing it for this user" >&2
    if command -v pipx >/dev/null; then
        pipx install --quiet uv
    elif python3 -m pip --version >/dev/null 2>&1 && python3 -m pip install --quiet --user uv 2>/dev/null; then
        :
    else
        # A system Python that installs nothing into itself: a private environment holds uv.
        python3 -m venv "$HOME/.local/share/torq-uv"
        "$HOME/.local/share/torq-uv/bin/pip" install --quiet uv
        mkdir -p "$HOME/.local/bin"
        ln -sf "$HOME/.local/share/torq-uv/bin/uv" "$HOME/.local/bin/uv"
    fi
    hash -r
    command -v uv >/dev/null || {
        echo "uv could not be installed; install it by hand (for example 'pipx install uv')" >&2
        exit 1
    }
fi
exec uv run torq "$@"

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torq_relays import Bookmark
from torq_types import ConfigError

u64 = st.integers(0, 2**63 - 1)


@given(u64, u64)
def test_text_and_back(log_id: int, position: int) -> None:
    bookmark = Bookmark(log_id, position)
    assert Bookmark.parse(str(bookmark)) == bookmark


def test_a_file_and_back(tmp_path: Path) -> None:
    path = tmp_path / "bookmark"
    assert Bookmark.load(path) is None
    for position in (8, 16):
        Bookmark(5, position).save(path)
        assert Bookmark.load(path) == Bookmark(5, position)
    assert [p.name for p in tmp_path.iterdir()] == ["bookmark"]


@pytest.mark.parametrize("text", ["", "5", "5:", "a:b", "-1:2", "1:2:3", "1" * 30 + ":1"])
def test_what_is_no_bookmark_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "bookmark").write_text(text)
    with pytest.raises(ConfigError, match="bookmark"):
        Bookmark.load(tmp_path / "bookmark")
    with pytest.raises(ConfigError, match="cannot read"):
        Bookmark.load(tmp_path)

from __future__ import annotations

import errno

import pytest

from partial_labels.whole_file import whole_file


def test_a_failure_keeps_the_old_file_and_leaves_nothing_half_written(tmp_path):
    path = tmp_path / "page.html"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="killed"), whole_file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError("killed")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["page.html"]


def test_a_full_disk_names_the_file(tmp_path):
    path = tmp_path / "page.html"
    with pytest.raises(OSError, match="No space left") as caught, whole_file(path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.filename == str(path)
    assert list(tmp_path.iterdir()) == []

"""Links and odd directories in the data roots: nothing outside is read, and what is left out is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from dqm.ingest.roots import MOST_PROBLEMS, Roots


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret.h5").write_bytes(b"x")
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "good.h5").write_bytes(b"x")
    return folder


def names(roots: Roots) -> list[str]:
    return sorted(Path(path).name for path in roots.scan().files)


def test_links_out_of_the_roots_are_not_followed_and_the_page_says_so(root: Path, outside: Path) -> None:
    (root / "file.h5").symlink_to(outside / "secret.h5")
    (root / "folder").symlink_to(outside)
    (root / "up.h5").symlink_to("../outside/secret.h5")
    (root / "notes.txt").symlink_to("/etc/hostname")
    roots = Roots([root])
    assert names(roots) == ["good.h5"]
    problems = roots.scan().problems
    said = [problem.split(" leads out")[0] for problem in problems]
    assert said == [f"{root}/{name}" for name in ("file.h5", "folder", "up.h5")]
    assert all("not followed; name that directory a root" in problem for problem in problems)
    for name in ("file.h5", "up.h5", "folder/secret.h5"):
        assert roots.look_at(str(root / name)) is None, name


def test_a_path_with_dots_that_leaves_the_root_is_not_looked_at(root: Path, outside: Path) -> None:
    assert Roots([root]).look_at(f"{root}/../outside/secret.h5") is None


def test_loops_and_dangling_links_end_with_a_sentence(root: Path) -> None:
    (root / "loop.h5").symlink_to("loop.h5")
    (root / "one.h5").symlink_to("two.h5")
    (root / "two.h5").symlink_to("one.h5")
    (root / "nothing.h5").symlink_to(root / "not-there.h5")
    (root / "again").symlink_to(root)
    roots = Roots([root])
    assert names(roots) == ["good.h5"]
    problems = roots.scan().problems
    assert [problem for problem in problems if "loop.h5 is a link that leads nowhere, or in a circle" in problem]
    assert not [problem for problem in problems if "again" in problem], "inside the root: seen once, and no fault"


def test_a_root_that_is_a_link_is_searched_and_so_are_links_into_another_root(
    root: Path, outside: Path, tmp_path: Path
) -> None:
    linked = tmp_path / "linked"
    linked.symlink_to(root)
    assert names(Roots([linked])) == ["good.h5"]
    (root / "other.h5").symlink_to(outside / "secret.h5")
    assert names(Roots([root, outside])) == ["good.h5", "other.h5", "secret.h5"]


def test_names_that_steer_a_terminal_or_turn_the_writing_are_shown_as_escapes(root: Path, outside: Path) -> None:
    (root / "a\u202e\x1b[31m.h5").symlink_to(outside / "secret.h5")
    (problem,) = Roots([root]).scan().problems
    assert problem.isprintable()
    assert "\\u202e\\x1b[31m.h5 leads out of the data roots" in problem


def test_a_thousand_bad_links_are_not_a_thousand_lines(root: Path, outside: Path) -> None:
    for number in range(1000):
        (root / f"{number:04}.h5").symlink_to(outside / "secret.h5")
    problems = Roots([root]).scan().problems
    assert len(problems) == MOST_PROBLEMS + 1
    assert problems[-1] == "and 980 more of the like"

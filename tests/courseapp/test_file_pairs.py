from dataclasses import dataclass

from courseapp.file_pairs import pair_files


@dataclass(frozen=True)
class File:
    sha256: str


def told(old: dict[str, str], new: dict[str, str]) -> list[tuple[str, str, str]]:
    sides = ({path: File(content) for path, content in side.items()} for side in (old, new))
    return [(pair.kind, pair.old_path, pair.path) for pair in pair_files(*sides)]


def test_files_are_paired_by_path_and_what_changed_comes_first() -> None:
    assert told({"a": "1", "b": "2", "c": "3"}, {"a": "1", "b": "x", "d": "4"}) == [
        ("changed", "b", "b"),
        ("added", "d", "d"),
        ("removed", "c", "c"),
        ("same", "a", "a"),
    ]


def test_the_same_content_under_another_path_was_renamed_each_once() -> None:
    assert told({"a": "1", "b": "1"}, {"c": "1", "d": "1", "e": "1"}) == [
        ("added", "e", "e"),
        ("renamed", "a", "c"),
        ("renamed", "b", "d"),
    ]


def test_a_copy_beside_its_kept_original_is_added() -> None:
    assert told({"a": "1"}, {"a": "1", "b": "1"}) == [("added", "b", "b"), ("same", "a", "a")]

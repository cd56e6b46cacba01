import stat
import struct
import tracemalloc
import zipfile
from collections.abc import Mapping
from io import BytesIO

import pytest

from grading.services.archives import DEFAULT, MB, RefusedError, Rules, unpack

FLAGS_IN_LOCAL, FLAGS_IN_DIRECTORY = 6, 8


def zipped(files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def with_entry(entry: zipfile.ZipInfo, content: bytes = b"x") -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("mlp.py", b"pass\n")
        archive.writestr(entry, content)
    return out.getvalue()


def renamed(data: bytes, placeholder: bytes, name: bytes) -> bytes:
    """The archive with a name that zipfile would not write, of the same length."""
    assert len(placeholder) == len(name)
    return data.replace(placeholder, name)


def with_flags(data: bytes, flags: int) -> bytes:
    out = bytearray(data)
    for signature, offset in ((b"PK\3\4", FLAGS_IN_LOCAL), (b"PK\1\2", FLAGS_IN_DIRECTORY)):
        at = -1
        while (at := data.find(signature, at + 1)) >= 0:
            struct.pack_into("<H", out, at + offset, flags)
    return bytes(out)


def refusal(data: bytes, rules: Rules = DEFAULT) -> str:
    with pytest.raises(RefusedError) as caught:
        unpack("hw1.zip", data, rules)
    return caught.value.reason


def test_files_are_read_by_name() -> None:
    found = unpack("hw1.zip", zipped({"mlp.py": b"x = 1\n", "figures/loss.png": b"\x89PNG"}))
    assert found.files == {"mlp.py": b"x = 1\n", "figures/loss.png": b"\x89PNG"}
    assert (found.dropped, found.folder) == ([], "")


def test_an_archive_is_read_from_a_file_object_too() -> None:
    assert unpack("hw1.zip", BytesIO(zipped({"mlp.py": b"pass\n"}))).files == {"mlp.py": b"pass\n"}


def test_an_archive_with_a_comment_is_read() -> None:
    out = BytesIO(zipped({"mlp.py": b"pass\n"}))
    with zipfile.ZipFile(out, "a") as archive:
        archive.comment = b"made by hand"
    assert unpack("hw1.zip", out.getvalue()).files == {"mlp.py": b"pass\n"}


def test_what_a_computer_adds_is_dropped_and_listed() -> None:
    found = unpack(
        "hw1.zip",
        zipped(
            {
                "mlp.py": b"pass\n",
                ".DS_Store": b"\0",
                "__MACOSX/._mlp.py": b"\0",
                "__pycache__/mlp.cpython-311.pyc": b"\0",
                "sub/._theory.pdf": b"\0",
                ".ipynb_checkpoints/mlp-checkpoint.py": b"\0",
            }
        ),
    )
    assert found.files == {"mlp.py": b"pass\n"}
    assert found.dropped == [
        ".DS_Store",
        ".ipynb_checkpoints/mlp-checkpoint.py",
        "__MACOSX/._mlp.py",
        "__pycache__/mlp.cpython-311.pyc",
        "sub/._theory.pdf",
    ]


def test_folders_around_everything_are_taken_off_and_said() -> None:
    found = unpack("hw1.zip", zipped({"ab1234/": b"", "ab1234/hw1/mlp.py": b"pass\n", "ab1234/hw1/data/x.csv": b"1\n", "__MACOSX/x": b""}))
    assert list(found.files) == ["mlp.py", "data/x.csv"]
    assert found.folder == "ab1234/hw1"


def test_a_folder_beside_a_file_stays() -> None:
    found = unpack("hw1.zip", zipped({"mlp.py": b"pass\n", "ab1234/notes.md": b"."}))
    assert list(found.files) == ["mlp.py", "ab1234/notes.md"]


def test_a_name_without_the_unicode_flag_is_read_as_the_utf8_it_is() -> None:
    data = with_flags(renamed(zipped({"aaaaaaaaa.py": b"pass\n"}), b"aaaaaaaaa.py", "作业一.py".encode()), 0)
    assert list(unpack("hw1.zip", data).files) == ["作业一.py"]


def test_letters_of_a_mac_are_put_together() -> None:
    assert list(unpack("hw1.zip", zipped({"re\u0301sume\u0301.md": b"."})).files) == ["résumé.md"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("/etc/passwd", "“/etc/passwd” in “hw1.zip” is an absolute path; accepted are paths inside the hand-in."),
        ("C:/mlp.py", "“C:/mlp.py” in “hw1.zip” is an absolute path; accepted are paths inside the hand-in."),
        ("../mlp.py", "“../mlp.py” in “hw1.zip” leads out of the hand-in with ..; accepted are paths inside it."),
        ("a/../../mlp.py", "“a/../../mlp.py” in “hw1.zip” leads out of the hand-in with ..; accepted are paths inside it."),
        ("__MACOSX/../../x", "“__MACOSX/../../x” in “hw1.zip” leads out of the hand-in with ..; accepted are paths inside it."),
        ("a//b.py", "“a//b.py” in “hw1.zip” is not a plain path; accepted are names such as mlp.py or figures/loss.png."),
        ("./b.py", "“./b.py” in “hw1.zip” is not a plain path; accepted are names such as mlp.py or figures/loss.png."),
        ("a\\b.py", "“a\\b.py” in “hw1.zip” has a backslash in its name; folders are separated by /."),
        ("a\nb.py", "“a\\nb.py” in “hw1.zip” has an invisible or control character in its name."),
        ("a\x1b[31m.py", "“a\\x1b[31m.py” in “hw1.zip” has an invisible or control character in its name."),
        ("yp.\u202efdp", "“yp.\\u202efdp” in “hw1.zip” has an invisible or control character in its name."),
        ("mlp\u200b.py", "“mlp\\u200b.py” in “hw1.zip” has an invisible or control character in its name."),
        ("d/" * 16 + "x", f"“{'d/' * 16}x” in “hw1.zip” lies 16 folders deep; accepted are 15."),
    ],
)
def test_names_that_are_refused_with_the_entry(name: str, reason: str) -> None:
    assert refusal(zipped({"mlp.py": b"pass\n", name: b"x"})) == reason


def test_a_nul_in_a_name_is_refused() -> None:
    assert refusal(renamed(zipped({"mlp.py_.txt": b"x"}), b"mlp.py_.txt", b"mlp.py\0.txt")) == (
        "“mlp.py\\x00.txt” in “hw1.zip” has an invisible or control character in its name."
    )


@pytest.mark.parametrize("name", ["a" * 252 + ".txt", "/".join(["a" * 100] * 3), "字" * 90])
def test_over_long_names_are_refused_and_shortened_in_the_sentence(name: str) -> None:
    reason = refusal(zipped({name: b"x"}))
    assert f"has too long a name ({len(name)} characters); accepted are 255 in all and 255 bytes a part." in reason
    assert len(reason) < 300


def test_a_name_of_255_characters_is_taken() -> None:
    name = "a" * 251 + ".txt"
    assert list(unpack("hw1.zip", zipped({name: b"x"})).files) == [name]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (stat.S_IFLNK, "“link” in “hw1.zip” is a link; put the file itself into the archive."),
        (stat.S_IFCHR, "“link” in “hw1.zip” is neither a file nor a folder."),
        (stat.S_IFIFO, "“link” in “hw1.zip” is neither a file nor a folder."),
    ],
)
def test_links_and_devices_are_refused(kind: int, reason: str) -> None:
    entry = zipfile.ZipInfo("link")
    entry.external_attr = (kind | 0o777) << 16
    assert refusal(with_entry(entry, b"/etc/passwd")) == reason


def test_an_entry_that_says_it_is_a_plain_file_is_taken() -> None:
    entry = zipfile.ZipInfo("plain.py")
    entry.external_attr = (stat.S_IFREG | 0o644) << 16
    assert list(unpack("hw1.zip", with_entry(entry)).files) == ["mlp.py", "plain.py"]


@pytest.mark.parametrize("flags", [0x1, 0x41, 0x2001])
def test_encrypted_entries_are_refused(flags: int) -> None:
    assert refusal(with_flags(zipped({"mlp.py": b"pass\n"}), flags)) == (
        "“mlp.py” in “hw1.zip” is encrypted; make the archive without a password."
    )


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_only_plain_methods_are_unpacked(method: int) -> None:
    reason = f"“mlp.py” in “hw1.zip” is packed by method {method}; accepted are stored and deflated."
    assert refusal(zipped({"mlp.py": b"pass\n"}, method)) == reason


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        ("mlp.py", "mlp.py", "are the same name"),
        ("mlp.py", "MLP.py", "differ only in case or spelling of the same letters"),
        ("straße.md", "STRASSE.md", "differ only in case or spelling of the same letters"),
        ("r\u00e9sum\u00e9.md", "R\u00c9SUM\u00c9.md", "differ only in case or spelling of the same letters"),
        ("mlp.py", "\uff4dlp.py", "differ only in case or spelling of the same letters"),
        ("data", "data/x.csv", "cannot both be kept: the first is a file, the second needs it to be a folder"),
    ],
)
def test_two_names_that_are_one_are_refused(first: str, second: str, why: str) -> None:
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(first, b"1")
        archive.writestr(second, b"2")
    assert refusal(out.getvalue()) == f"“{first}” and “{second}” in “hw1.zip” {why}. Rename one."


def test_composed_and_decomposed_letters_are_the_same_name() -> None:
    assert "are the same name" in refusal(zipped({"re\u0301.md": b"1", "r\u00e9.md": b"2"}))


def test_caps_hold_for_a_file_for_all_and_for_their_number() -> None:
    rules = Rules(max_file=1000, max_total=1500, max_files=2)
    assert len(unpack("hw1.zip", zipped({"a": b"x" * 1000, "b": b"x" * 500}), rules).files) == 2
    assert refusal(zipped({"a": b"x" * 1001}), rules) == "“a” in “hw1.zip” has 1001 B; accepted are 1000 B a file."
    assert refusal(zipped({"a": b"x" * 1000, "b": b"x" * 501}), rules) == "“hw1.zip” unpacks to 1.5 kB; accepted are 1.5 kB in all."
    assert refusal(zipped({"a": b"", "b": b"", "c": b""}), rules) == "“hw1.zip” holds 3 files; accepted are 2."


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    data = zipped({f"{n}.bin": bytes(15 * MB) for n in range(3)})
    tracemalloc.start()
    reason = refusal(data)
    assert tracemalloc.get_traced_memory()[1] < 2 * MB
    tracemalloc.stop()
    assert reason.startswith("“0.bin” in “hw1.zip” unpacks to 10")
    assert reason.endswith(" times its packed size; accepted are 200 times.")


def test_a_text_that_packs_well_is_not_a_bomb() -> None:
    content = b"".join(b"%07d,0.000000,0.000000\n" % n for n in range(100_000))
    assert unpack("hw1.zip", zipped({"log.csv": content})).files == {"log.csv": content}


def test_a_bomb_that_states_a_small_size_is_held_to_it() -> None:
    data = bytearray(zipped({"a.bin": bytes(10 * MB)}))
    directory = data.find(b"PK\1\2")
    struct.pack_into("<L", data, directory + 24, 100)  # its uncompressed size
    assert refusal(bytes(data)).startswith("“a.bin” in “hw1.zip” cannot be read (Bad CRC-32")


def test_a_name_that_differs_inside_the_archive_is_refused() -> None:
    data = bytearray(zipped({"mlp.py": b"pass\n"}))
    at = data.rfind(b"mlp.py")
    data[at : at + 6] = b"abc.py"
    assert refusal(bytes(data)).startswith("“abc.py” in “hw1.zip” cannot be read (File name in directory")


def test_a_million_entries_are_refused_without_reading_them() -> None:
    data = zipped({"a": b""})
    end = data.rfind(b"PK\5\6")
    directory = data[data.find(b"PK\1\2") : end]
    many = directory * 100_000
    forged = data[: end - len(directory)] + many + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(many), end - len(directory), 0)
    assert refusal(forged) == "The table of contents of “hw1.zip” has 4.5 MB; accepted are 4000 entries."


def test_many_entries_that_are_dropped_count_as_well() -> None:
    data = zipped({f"__pycache__/{n}": b"" for n in range(20)})
    assert refusal(data, Rules(max_entries=10)) == "“hw1.zip” holds 20 entries; accepted are 10."


def test_an_archive_without_files_is_refused() -> None:
    assert refusal(zipped({})) == "“hw1.zip” holds no files."
    assert refusal(zipped({"empty/": b"", ".DS_Store": b"\0"})) == "“hw1.zip” holds no files besides .DS_Store."


@pytest.mark.parametrize("data", [b"", b"PK", b"not a zip at all", b"\x1f\x8b tar.gz" * 10])
def test_what_is_no_zip_is_said_so(data: bytes) -> None:
    assert refusal(data) == "“hw1.zip” is not a zip file, or its end is missing. Make it again, or send the files one by one."


def test_a_torn_upload_is_said() -> None:
    data = zipped({"mlp.py": b"pass\n" * 1000})
    assert "its end is missing" in refusal(data[:-30])
    assert "cannot be read" in refusal(data[10:])


def test_a_damaged_file_is_named() -> None:
    data = bytearray(zipped({"mlp.py": b"pass\n", "b.py": b"y = 2\n"}, zipfile.ZIP_STORED))
    data[data.find(b"y = 2")] = ord("z")
    assert refusal(bytes(data)).startswith("“b.py” in “hw1.zip” cannot be read (Bad CRC-32")


def test_names_that_are_not_utf8_under_the_flag_are_refused() -> None:
    data = with_flags(renamed(zipped({"ab.py": b"x"}), b"ab.py", b"\xff\xfe.py"), 0x800)
    assert refusal(data).startswith("“hw1.zip” cannot be read as a zip file (")

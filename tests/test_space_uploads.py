"""Uploads: no name gets in, in whatever pieces a request comes, and no file stays."""

import asyncio

import pytest

from uploads import FileNameEraser, NamelessUploads, suffix_of, taken_in

BOUNDARY = b"----boundary7"
CONTENT = b'PK\x03\x04 filename="not a header" \r\n--' + bytes(range(256))
NAMES = (
    b'filename="DOE_JOHN.nii.gz"',
    b'filename="DOE \\"JOHN\\".ZIP"',
    b"filename*=UTF-8''DOE%20JOHN.dcm",
    b"filename=DOE.txt",
)
SUFFIXES = (b'.nii.gz"', b'.zip"', b'.dcm"', b'"')


def body(names=NAMES) -> bytes:
    parts = [
        b"--" + BOUNDARY + b'\r\nContent-Disposition: form-data; name="files"; ' + name
        + b"\r\nContent-Type: application/octet-stream\r\n\r\n" + CONTENT + b"\r\n"
        for name in names
    ]  # fmt: skip
    return b"".join(parts) + b"--" + BOUNDARY + b"--\r\n"


def erased(pieces: list[bytes]) -> bytes:
    eraser = FileNameEraser(BOUNDARY)
    return b"".join(eraser.feed(piece, number == len(pieces) - 1) for number, piece in enumerate(pieces))


@pytest.mark.parametrize("size", [1, 2, 7, 64, 10_000])
def test_names_are_gone_and_contents_are_whole(size):
    whole = body()
    passed = erased([whole[at : at + size] for at in range(0, len(whole), size)])
    headers = [part.split(b"\r\n\r\n")[0] for part in passed.split(b"--" + BOUNDARY + b"\r\n")[1:]]
    assert b"DOE" not in passed
    assert passed.count(CONTENT) == len(NAMES)
    assert len({header.partition(b'filename="')[2][:16] for header in headers}) == len(NAMES)
    for header, suffix in zip(headers, SUFFIXES, strict=True):
        assert header.split(b"\r\n")[0].endswith(suffix)


def test_a_body_that_is_no_form_passes_untouched():
    assert erased([b"nothing", b" of the kind"]) == b"nothing of the kind"


@pytest.mark.parametrize(
    ("path", "content_type", "renamed"),
    [
        ("/gradio_api/upload", b"multipart/form-data; boundary=" + BOUNDARY, True),
        ("/gradio_api/upload", b'multipart/form-data; boundary="' + BOUNDARY + b'"', True),
        ("/gradio_api/queue/join", b"multipart/form-data; boundary=" + BOUNDARY, False),
        ("/gradio_api/upload", b"application/json", False),
    ],
)
def test_only_requests_that_upload_are_changed(path, content_type, renamed):
    whole, seen = body(), []

    async def app(scope, receive, send):
        more = True
        while more:
            message = await receive()
            seen.append(message["body"])
            more = message["more_body"]

    pieces = [{"type": "http.request", "body": whole[:50], "more_body": True},
              {"type": "http.request", "body": whole[50:], "more_body": False}]  # fmt: skip

    async def receive():
        return pieces.pop(0)

    scope = {"type": "http", "method": "POST", "path": path, "headers": [(b"content-type", content_type)]}
    asyncio.run(NamelessUploads(app)(scope, receive, None))
    assert (b"DOE" not in b"".join(seen)) is renamed
    assert b"".join(seen).count(CONTENT) == len(NAMES)


@pytest.mark.parametrize("fails", [False, True])
def test_a_file_is_there_for_as_long_as_it_is_read(tmp_path, fails):
    upload = tmp_path / "0123abcd" / "DOE_JOHN.NII.GZ"
    upload.parent.mkdir()
    upload.write_bytes(b"a scan")

    def read():
        with taken_in(str(upload)) as path:
            assert (path.name, path.read_bytes()) == ("scan.nii.gz", b"a scan")
            assert not upload.exists()
            if fails:
                raise ValueError("refused")

    if fails:
        with pytest.raises(ValueError, match="refused"):
            read()
    else:
        read()
    assert list(tmp_path.iterdir()) == []


def test_another_upload_of_the_same_scan_stays(tmp_path):
    for name in ("1.nii", "2.nii"):
        (tmp_path / name).write_bytes(b"a scan")
    with taken_in(str(tmp_path / "1.nii")):
        assert (tmp_path / "2.nii").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["2.nii"]


def test_unknown_suffixes_are_dropped():
    assert [suffix_of(name) for name in ("a.NII", "b.nii.gz", "c.exe", "")] == [".nii", ".nii.gz", "", ""]

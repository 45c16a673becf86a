"""What the readers share: bytes to blocks, stored numbers to HU, geometry from arguments."""

import gzip
import io
import threading
import warnings
import zipfile
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from med3d_r1 import reading_med3d_r1 as reading
from med3d_r1.reading_med3d_r1 import (
    ByteSource,
    array_blocks,
    check_affine,
    check_claim,
    given_affine,
    hounsfield_blocks,
    open_gzip,
    optional_package,
    permute_affine,
    storage_order,
    stream_blocks,
    to_hounsfield,
    zip_members,
)
from med3d_r1.volume_med3d_r1 import VolumeError, VolumeWarning
from volume_files import forbid, in_memory


def blocks_of(content: bytes, **options) -> np.ndarray:
    settings = {"offset": 0, "dtype": np.dtype("<i2"), "shape": (3, 2, 2), "compressed": False, **options}
    return np.concatenate(list(stream_blocks(in_memory(content), **settings)))


@pytest.fixture(params=["isal", "zlib"])
def inflater(request, monkeypatch):
    """Both ways to inflate: with isal, and as if it were not installed."""
    if request.param == "zlib":
        forbid(monkeypatch, "isal")
    return request.param


@given(
    arrays(st.sampled_from(["i1", "u1", "<i2", ">i2", "<u2", "<i4", ">i4", "<u4", "<i8", "<u8"]), (2, 3, 2)),
    st.sampled_from([(1, 0), (1, -1024), (1, -8192), (1, 0.5), (2, 0), (0.1, -3), (1, -40000)]),
)
def test_integers_keep_their_value(stored, rescale):
    """int16 exactly where slope is 1 and everything fits; else float32 of the exact value."""
    slope, intercept = rescale
    exact = np.array([[int(v) * slope + intercept for v in row] for row in stored.reshape(2, -1)]).reshape(stored.shape)
    hu = to_hounsfield(stored, slope, intercept)
    fits = exact.min() >= -32768 and exact.max() <= 32767
    whole = slope == 1 and float(intercept).is_integer()
    if hu.dtype == np.int16:
        assert fits
        assert (hu == exact).all()
    else:
        assert hu.dtype == np.float32
        np.testing.assert_allclose(hu, exact, rtol=1e-6, atol=1e-3 * abs(intercept) + 1e-3)
        assert not (fits and whole and abs(intercept) < 2**15)


def test_float64_becomes_float32():
    assert to_hounsfield(np.array([[[0.25]]]), 2.0, -1000.0).dtype == np.float32


def test_int16_in_hu_is_not_copied():
    stored = np.zeros((1, 2, 2), np.int16)
    assert to_hounsfield(stored, 1.0, 0.0) is stored


def test_what_is_not_finite_becomes_air_with_a_warning():
    """3 of 8 voxels: under one half."""
    block = np.array([0.0, np.nan, np.inf, -np.inf, 1, 2, 3, 4], dtype=np.float64).reshape(2, 2, 2)
    with pytest.warns(VolumeWarning, match="scan: 3 of 8 voxels"):
        (hu,) = hounsfield_blocks("scan", [block])
    assert hu.ravel().tolist() == [0, -1024, -1024, -1024, 1, 2, 3, 4]


def test_a_number_too_large_for_float32_is_not_finite():
    with pytest.warns(VolumeWarning):
        (hu,) = hounsfield_blocks("scan", [np.array([[[1e300, 5.0, 6.0]]])])
    assert hu.ravel().tolist() == [-1024, 5, 6]


def test_mostly_not_finite_is_refused():
    block = np.full((1, 2, 2), np.nan, np.float32)
    block[0, 0, 0] = 0
    with pytest.raises(VolumeError, match=r"at most 50% .* found 75\.0%"):
        list(hounsfield_blocks("scan", [block]))


def test_finite_floats_pass_in_silence():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(hounsfield_blocks("scan", [np.zeros((1, 1, 1), np.float32)]))


@given(st.integers(1, 7), st.integers(1, 200), st.booleans(), st.sampled_from(["<i2", ">i2", "u1", "<f4", ">f8"]))
def test_blocks_are_the_stream(slices, block_bytes, compressed, dtype):
    voxels = np.arange(slices * 6).reshape(slices, 2, 3).astype(dtype)
    content = b"head" + voxels.tobytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "BLOCK_BYTES", block_bytes)
        read = list(
            stream_blocks(
                in_memory(gzip.compress(content) if compressed else content),
                offset=4,
                dtype=voxels.dtype,
                shape=voxels.shape,
                compressed=compressed,
            )
        )
    slab = max(1, block_bytes // voxels[0].nbytes)
    assert [len(block) for block in read[:-1]] == [slab] * (len(read) - 1)
    assert (np.concatenate(read) == voxels).all()


def test_a_plain_stream_that_ends_early():
    with pytest.raises(VolumeError, match="an end 1 bytes too early"):
        blocks_of(bytes(23))


@pytest.mark.parametrize("cut", [5, 30, -9, -8, -4, -1])
def test_a_gzip_stream_that_ends_early(inflater, cut):
    content = gzip.compress(np.random.default_rng(0).bytes(24))
    with pytest.raises(VolumeError, match="scan"):
        blocks_of(content[:cut], compressed=True)


def test_a_gzip_stream_with_a_wrong_checksum(inflater):
    content = bytearray(gzip.compress(bytes(24)))
    content[-6] ^= 1
    with pytest.raises(VolumeError, match=r"readable to the end.*damaged"):
        blocks_of(bytes(content), compressed=True)


def test_a_gzip_stream_with_a_flipped_bit_inside(inflater):
    content = bytearray(gzip.compress(np.random.default_rng(0).bytes(24)))
    content[15] ^= 4
    with pytest.raises(VolumeError):
        blocks_of(bytes(content), compressed=True)


class Endless(io.RawIOBase):
    """A gzip stream of zeros without an end."""

    def __init__(self):
        self.deflate, self.waiting = zlib.compressobj(1, zlib.DEFLATED, 31), b""

    def readable(self):
        return True

    def readinto(self, buffer):
        while not self.waiting:
            self.waiting = self.deflate.compress(bytes(1 << 16))
        count = min(len(buffer), len(self.waiting))
        buffer[:count], self.waiting = self.waiting[:count], self.waiting[count:]
        return count


def test_what_follows_the_voxels_is_not_read(inflater):
    """A bomb whose header claims 24 bytes: were it read on, this test would not end."""
    source = ByteSource("bomb", 1000, Endless)
    options = {"offset": 0, "dtype": np.dtype("<i2"), "shape": (3, 2, 2), "compressed": True}
    assert sum(block.size for block in stream_blocks(source, **options)) == 12


def test_a_reader_that_is_left_early_closes_its_file(inflater):
    opened = []
    content = gzip.compress(np.random.default_rng(0).bytes(1 << 16))

    def open_stream():
        opened.append(io.BytesIO(content))
        return opened[-1]

    source = ByteSource("scan", len(content), open_stream)
    stream = stream_blocks(source, offset=0, dtype=np.dtype("<i2"), shape=(8, 64, 64), compressed=True)
    next(stream)
    stream.close()
    assert opened[0].closed


@pytest.mark.parametrize(("threads", "inflating"), [(1, 0), (2, 1)])
def test_isal_inflates_in_a_thread_of_its_own_where_there_may_be_two(threads, inflating, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    before = threading.active_count()
    with open_gzip(io.BytesIO(gzip.compress(bytes(1 << 22)))) as stream:
        assert type(stream) is not gzip.GzipFile
        assert threading.active_count() == before + inflating
        assert stream.read() == bytes(1 << 22)


def test_a_missing_package_is_named(monkeypatch):
    forbid(monkeypatch, "nibabel")
    with pytest.raises(VolumeError, match=r"scan.nii: .* the package nibabel; .* `pip install nibabel`"):
        optional_package("nibabel.nifti1", package="nibabel", name="scan.nii")


def test_claims_are_counted_before_memory_is_taken():
    assert check_claim("scan", (3, 4, 5), 2, 120) == 120
    with pytest.raises(VolumeError, match=r"at most 119 bytes.* 3 x 4 x 5 voxels of 2 bytes.*raise `max_bytes`"):
        check_claim("scan", (3, 4, 5), 2, 119)


@pytest.mark.parametrize("shape", [(0, 4, 5), (3, -1, 5)])
def test_an_axis_without_voxels(shape):
    with pytest.raises(VolumeError, match="every axis needs at least one voxel"):
        check_claim("scan", shape, 2, 10**9)


@pytest.mark.parametrize(
    ("affine", "rule"),
    [
        (np.eye(3), "4 x 4"),
        (np.diag([1, 1, np.nan, 1]), "finite"),
        (np.diag([1, 1, 1, 2]), "last row"),
        (np.diag([1, 1, 0, 1]), "0.01 and 100 mm"),
        (np.diag([1, 1, 101, 1]), "0.01 and 100 mm"),
        (np.array([[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), "different directions"),
    ],
)
def test_affines_that_describe_no_volume(affine, rule):
    with pytest.raises(VolumeError, match=rule):
        check_affine("scan", affine)


def test_geometry_from_arguments():
    """Feet to head, 3 mm: the first axis is +z. Front to back: the second is -y. Right to left: the third is -x."""
    nothing = {"spacing": None, "affine": None, "orientation": None}
    assert given_affine("scan", **nothing) is None
    assert given_affine("scan", **{**nothing, "spacing": (3, 2, 1)}) is None
    given = given_affine("scan", **{**nothing, "spacing": (3, 2, 1)}, default_orientation="SPL")
    assert given.tolist() == [[0, 0, -1, 0], [0, -2, 0, 0], [3, 0, 0, 0], [0, 0, 0, 1]]
    assert (given_affine("scan", **{**nothing, "affine": given}) == given).all()


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ({"spacing": (1, 1)}, "three positive numbers"),
        ({"spacing": (1, 1, 0)}, "three positive numbers"),
        ({"spacing": (1, 1, float("nan"))}, "three positive numbers"),
        ({"spacing": (1, 1, 1), "orientation": "SPX"}, "three letters"),
        ({"affine": np.eye(4), "orientation": "SPL"}, "already holds"),
    ],
)
def test_arguments_that_describe_no_geometry(arguments, rule):
    given = {"spacing": None, "affine": None, "orientation": None, **arguments}
    with pytest.raises(VolumeError, match=rule):
        given_affine("scan", **given, default_orientation="SPL")


@given(st.permutations([0, 1, 2]))
def test_memory_order_and_affine_go_together(axes):
    """A voxel keeps its place in the patient however the array lies in memory."""
    array = np.arange(24).reshape(2, 3, 4).transpose(axes)
    order = storage_order(array)
    assert array.transpose(order).flags.c_contiguous
    affine = np.arange(16.0).reshape(4, 4)
    index = np.array([1, 0, 1])
    moved = permute_affine(affine, order)
    assert np.allclose(affine @ [*index, 1], moved @ [*index[list(order)], 1])


def test_blocks_of_an_array_are_views_that_nobody_can_write_to():
    array = np.zeros((3, 2, 2), np.int16)
    (block,) = array_blocks(array)
    assert np.shares_memory(block, array)
    assert not block.flags.writeable
    assert array.flags.writeable


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def test_members_of_a_zip():
    content = zipped(**{"b/scan.nii": b"12", "../a.dcm": b"345", "__MACOSX/b/._scan.nii": b"", "b/._x": b""})
    members = zip_members(in_memory(content), max_bytes=5)
    assert [(member.name, member.size, member.head(9)) for member in members] == [
        ("a.dcm", 3, b"345"),
        ("scan.nii", 2, b"12"),
    ]


def test_a_zip_that_claims_too_much():
    with pytest.raises(VolumeError, match=r"at most 1,000 bytes.*1,001 bytes claimed"):
        zip_members(in_memory(zipped(a=bytes(500), b=bytes(501))), max_bytes=1000)


def test_a_zip_that_claims_too_little():
    """The sizes in the archive say 1 byte; 1 MB is in it. No more than the claim is given, and then it is refused."""
    content = bytearray(zipped(a=bytes(1 << 20)))
    size = (1 << 20).to_bytes(4, "little")
    while (place := content.find(size)) >= 0:
        content[place : place + 4] = (1).to_bytes(4, "little")
    (member,) = zip_members(in_memory(bytes(content)), max_bytes=1000)
    with pytest.raises(VolumeError):
        list(stream_blocks(member, offset=0, dtype=np.dtype("u1"), shape=(1, 1, 1), compressed=False))


def test_an_encrypted_zip():
    content = bytearray(zipped(a=b"1"))
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.find(signature) + flags] |= 1
    with pytest.raises(VolumeError, match=r"encrypted.*Unpack it first"):
        zip_members(in_memory(bytes(content)), max_bytes=1000)


def test_a_zip_of_nonsense():
    with pytest.raises(VolumeError, match="a zip file must be readable"):
        zip_members(in_memory(b"PK\x03\x04nonsense"), max_bytes=1000)

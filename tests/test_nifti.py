"""NIfTI files and nibabel images -> HU, affine, refusals."""

import gzip
import struct
import warnings

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from med3d_r1.nifti_med3d_r1 import open_nifti, open_nifti_image
from med3d_r1.reading_med3d_r1 import ByteSource
from med3d_r1.volume_med3d_r1 import CTVolume, VolumeError, orientation_codes
from volume_files import chest, forbid, in_memory, nifti_bytes, write_nifti

TURN = np.radians(20)
OBLIQUE = np.array(
    [
        [-0.8 * np.cos(TURN), 0.7 * np.sin(TURN), 0, 100],
        [-0.8 * np.sin(TURN), -0.7 * np.cos(TURN), 0, -50],
        [0, 0, 1.5, 7],
        [0, 0, 0, 1],
    ]
)
"""i to the left, j to the back, k to the head, turned by 20 degrees about the long axis."""


def read(content: bytes, name: str = "scan.nii", **arguments) -> CTVolume:
    return open_nifti(in_memory(content, name), **arguments)


def places(affine: np.ndarray, shape) -> np.ndarray:
    """Millimetres of every voxel, (*shape, 3)."""
    index = np.stack([*np.indices(shape), np.ones(shape)], axis=-1)
    return (index @ affine.T)[..., :3]


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("byte_order", ["<", ">"])
def test_versions_compressions_and_byte_orders(tmp_path, name, version, byte_order):
    hu = chest()
    path = write_nifti(tmp_path / name, hu, OBLIQUE, version=version, byte_order=byte_order)
    volume = open_nifti(ByteSource.of_file(path))
    voxels = volume.voxels()
    assert voxels.dtype == np.int16
    assert voxels.dtype.isnative
    assert (voxels == hu).all()
    assert volume.shape == hu.shape
    assert volume.name == name
    assert volume.headers["format"] == f"NIfTI-{version}"
    np.testing.assert_allclose(
        places(volume.affine, hu.shape), places(OBLIQUE, hu.shape[::-1]).transpose(2, 1, 0, 3), atol=1e-4
    )


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
def test_every_type_of_number(dtype):
    hu = np.abs(chest()).clip(0, 100).astype(dtype)
    voxels = read(nifti_bytes(hu, OBLIQUE)).voxels()
    assert (voxels == hu).all()
    assert voxels.dtype == (np.int16 if hu.dtype.kind in "iu" else np.float32)


def test_what_nibabel_writes_and_reads_is_read_alike(tmp_path):
    """A float image stored as int16 with slope and intercept, as nibabel chooses them."""
    image = nibabel.Nifti1Image(np.linspace(-1000, 1500, 120).reshape(4, 5, 6), OBLIQUE)
    image.set_data_dtype(np.int16)
    nibabel.save(image, tmp_path / "scan.nii.gz")
    volume = open_nifti(ByteSource.of_file(tmp_path / "scan.nii.gz"))
    expected = nibabel.load(tmp_path / "scan.nii.gz").get_fdata()
    assert volume.voxels().dtype == np.float32
    np.testing.assert_allclose(volume.voxels(), expected.transpose(2, 1, 0), rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize(
    ("slope", "intercept", "expected", "dtype"),
    [
        (1, -1024, [-1024, 0, 976], np.int16),  # CT-RATE before it was fixed
        (1, -8192, [-8192, -7168, -6192], np.int16),
        (0, -1024, [0, 1024, 2000], np.int16),  # 0 means: no scaling
        (float("nan"), -1024, [0, 1024, 2000], np.int16),
        (2, 1, [1, 2049, 4001], np.float32),
        (0.5, 0, [0, 512, 1000], np.float32),
    ],
)
def test_slope_and_intercept(slope, intercept, expected, dtype):
    stored = np.array([0, 1024, 2000], np.int16).reshape(3, 1, 1)
    voxels = read(nifti_bytes(stored, np.eye(4), slope=slope, intercept=intercept)).voxels()
    assert voxels.ravel().tolist() == expected
    assert voxels.dtype == dtype


def test_the_sform_goes_before_the_qform():
    header = nibabel.Nifti1Header()
    header.set_qform(np.diag([-1, -1, 2, 1]), 1)
    fields = {key: header[key] for key in ("pixdim", "quatern_b", "quatern_c", "quatern_d")}
    content = nifti_bytes(chest(), np.diag([1.0, 1, 2, 1]), sform_code=2, qform_code=1, **fields)
    assert orientation_codes(read(content).affine) == "SAR"
    content = nifti_bytes(chest(), np.diag([1.0, 1, 2, 1]), sform_code=0, qform_code=1, **fields)
    assert orientation_codes(read(content).affine) == "SPL"


def test_a_qform_with_a_handedness_of_zero_is_right_handed():
    pixdim = [0, 0.8, 0.7, 1.5, 0, 0, 0, 0]
    content = nifti_bytes(chest(), np.diag([0.8, 0.7, 1.5, 1]), sform_code=0, qform_code=1, pixdim=pixdim)
    np.testing.assert_allclose(np.diag(read(content).affine[:, [2, 1, 0, 3]]), [0.8, 0.7, 1.5, 1], rtol=1e-6)


class TestWithoutOrientation:
    content = nifti_bytes(chest(), np.diag([0.8, 0.7, 1.5, 1]), sform_code=0, qform_code=0)

    def test_is_refused(self):
        with pytest.raises(VolumeError, match=r"scan.nii: .*sform_code 0 and qform_code 0.*`orientation=`"):
            read(self.content)

    def test_an_orientation_completes_it(self):
        volume = read(self.content, orientation="LPS")
        assert orientation_codes(volume.affine) == "SPL"
        np.testing.assert_allclose(volume.spacing, (1.5, 0.7, 0.8), rtol=1e-6)
        assert "caller" in volume.notes[0]

    def test_spacing_and_orientation_are_in_the_order_i_j_k(self):
        volume = read(self.content, orientation="LPS", spacing=(1, 2, 3))
        assert volume.spacing == (3, 2, 1)

    def test_an_affine_completes_it(self):
        np.testing.assert_allclose(read(self.content, affine=OBLIQUE).affine, OBLIQUE[:, [2, 1, 0, 3]])

    def test_a_spacing_alone_does_not(self):
        with pytest.raises(VolumeError, match="sform_code 0"):
            read(self.content, spacing=(1, 1, 1))


def test_a_spacing_replaces_that_of_a_known_orientation():
    volume = read(nifti_bytes(chest(), OBLIQUE), spacing=(1, 2, 3))
    np.testing.assert_allclose(volume.spacing, (3, 2, 1))
    np.testing.assert_allclose(volume.affine[:3, 2] * 0.8, OBLIQUE[:3, 0], atol=1e-6)


@pytest.mark.parametrize(("unit", "scale"), [(0, 1), (1, 1000), (2, 1), (3, 0.001), (2 + 8, 1)])
def test_units(unit, scale):
    content = nifti_bytes(chest(), np.diag([0.8, 0.7, 1.5, 1]) / scale, xyzt_units=unit)
    volume = read(content)
    np.testing.assert_allclose(volume.spacing, (1.5, 0.7, 0.8), rtol=1e-5)
    assert bool(volume.notes) == (scale != 1)


def test_a_pixdim_that_contradicts_the_affine_is_noted():
    content = nifti_bytes(chest(), np.diag([0.8, 0.7, 1.5, 1]), pixdim=[1, 0.8, 0.7, 5, 0, 0, 0, 0])
    volume = read(content)
    np.testing.assert_allclose(volume.spacing, (1.5, 0.7, 0.8), rtol=1e-6)
    assert volume.notes == ("The affine's spacing was taken; the header's pixdim says 0.8 x 0.7 x 5 mm.",)


def test_further_axes_of_length_one_are_dropped():
    content = nifti_bytes(chest()[None, None], np.eye(4))
    assert read(content).shape == chest().shape


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 2, 1, 4, 5), (4, 5)])
def test_other_numbers_of_axes_are_refused(shape):
    with pytest.raises(VolumeError, match=f"three dimensions; found {len(shape)}: "):
        read(nifti_bytes(np.zeros(shape, np.int16), np.eye(4)))


@pytest.mark.parametrize(
    ("code", "name"),
    [(1, "binary"), (32, "complex64"), (128, "RGB"), (1536, "float128"), (1792, "complex128"), (2304, "RGBA")],
)
def test_voxels_that_are_no_numbers_are_refused_by_name(code, name):
    with pytest.raises(VolumeError, match=f"integers or real numbers.*found {name}"):
        read(nifti_bytes(chest(), np.eye(4), datatype=code))


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"datatype": 55}, "must be one that NIfTI knows; found code 55"),
        ({"dim": [3, 4, 0, 6, 1, 1, 1, 1]}, "every axis needs at least one voxel"),
        ({"dim": [3, 4, -5, 6, 1, 1, 1, 1]}, "every axis needs at least one voxel"),
        ({"dim": [3, 4000, 5000, 6000, 1, 1, 1, 1]}, "at most 8,589,934,592 bytes"),
        ({"dim": [3, 4, 5, 7, 1, 1, 1, 1]}, "must hold all the voxels .* claims"),
        ({"vox_offset": 100}, "voxels begin after the header, at a byte from 348 .*; found vox_offset 100"),
        ({"vox_offset": 1e11}, "voxels begin after the header"),
        ({"vox_offset": float("inf")}, "voxels begin after"),
        ({"srow_x": [float("nan"), 0, 0, 0]}, "4 x 4 matrix of finite numbers"),
        ({"srow_x": [0, 0, 0, 0]}, "0.01 and 100 mm"),
        ({"srow_x": [500, 0, 0, 0]}, "0.01 and 100 mm"),
        ({"srow_x": [0.5, 0.5, 0, 0], "srow_y": [0.5, 0.5, 0, 0]}, "different directions"),
        ({"sform_code": 0, "qform_code": 1, "quatern_b": 5}, "sform or qform must describe a volume"),
        ({"sform_code": 0, "qform_code": 1, "pixdim": [1, 1, 0, 1, 0, 0, 0, 0]}, "sform or qform must describe"),
        ({"scl_slope": 1, "scl_inter": float("inf")}, "scl_inter must be a number"),
        ({"magic": b"ni1"}, "one half of a .hdr/.img pair"),
        ({"magic": b"abc"}, "magic string"),
    ],
)
def test_damaged_headers(fields, rule):
    with pytest.raises(VolumeError, match=rule):
        read(nifti_bytes(chest(), np.eye(4), **fields))


def test_the_size_that_a_header_claims_for_itself_does_not_move_the_voxels():
    assert (read(nifti_bytes(chest(), np.eye(4), sizeof_hdr=4, vox_offset=0)).voxels() == chest()).all()


def test_an_extension_before_the_voxels_is_skipped():
    content = nifti_bytes(chest(), np.eye(4), vox_offset=352 + 32)
    content = content[:352] + struct.pack("<ii", 32, 6) + b"Doe^Jane".ljust(24) + content[352:]
    volume = read(content)
    assert (volume.voxels() == chest()).all()
    assert "Doe" not in repr(volume)


def test_texts_of_the_header_are_not_passed_on():
    volume = read(nifti_bytes(chest(), np.eye(4), descrip=b"Doe^Jane", db_name=b"Doe^Jane", intent_name=b"Doe^Jane"))
    assert "Doe" not in repr(volume)


def test_a_gzip_stream_cannot_hold_what_the_header_claims():
    """deflate packs 1032 bytes into one at most: the claim of 2 GB is refused before any memory is taken."""
    content = gzip.compress(nifti_bytes(chest(), np.eye(4), dim=[3, 1000, 1000, 1000, 1, 1, 1, 1]))
    with pytest.raises(VolumeError, match=r"must hold all the voxels .* 2,000,000,352 bytes claimed"):
        read(content)


def test_max_bytes_is_a_setting():
    content = nifti_bytes(chest((6, 5, 4)), np.eye(4))
    assert read(content, max_bytes=240)
    with pytest.raises(VolumeError, match="at most 239 bytes"):
        read(content, max_bytes=239)


def test_a_truncated_gzip_file_opens_and_then_refuses():
    content = gzip.compress(nifti_bytes(chest((60, 50, 40)), np.eye(4)))
    volume = read(content[:-1000])
    with pytest.raises(VolumeError, match=r"truncated|damaged"):
        volume.voxels()


def test_a_gzip_file_that_ends_in_its_header():
    with pytest.raises(VolumeError, match="a gzip stream must be readable"):
        read(gzip.compress(nifti_bytes(chest(), np.eye(4)))[:40])


@pytest.mark.parametrize(("name", "pack"), [("scan.nii.gz", bytes), ("scan.nii", gzip.compress)])
def test_a_wrong_name_does_not_matter(name, pack):
    assert (read(pack(nifti_bytes(chest(), np.eye(4))), name).voxels() == chest()).all()


def test_blocks_can_be_read_again():
    volume = read(nifti_bytes(chest(), np.eye(4)))
    assert (volume.voxels() == volume.voxels()).all()


def test_without_nibabel_the_error_says_what_to_install(monkeypatch):
    forbid(monkeypatch, "nibabel")
    with pytest.raises(VolumeError, match="pip install nibabel"):
        read(nifti_bytes(chest(), np.eye(4)))


@settings(max_examples=150)
@given(st.data(), st.sampled_from([1, 2]), st.booleans())
def test_damaged_bytes_raise_nothing_but_volume_errors(data, version, packed):
    content = bytearray(nifti_bytes(chest((2, 3, 4)), np.eye(4), version=version))
    for place in data.draw(st.lists(st.integers(0, 399), min_size=1, max_size=6)):
        content[place] = data.draw(st.integers(0, 255))
    content = gzip.compress(content) if packed else bytes(content)
    content = content[: data.draw(st.sampled_from([None, None, len(content) // 2, 10, 0]))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            voxels = read(content, max_bytes=1 << 20).voxels()
        except VolumeError:
            return
    assert voxels.dtype in (np.int16, np.float32)
    assert np.isfinite(voxels).all()


class TestImages:
    """nibabel's own objects."""

    @pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
    def test_in_a_file(self, tmp_path, name):
        path = write_nifti(tmp_path / name, chest(), OBLIQUE, slope=1, intercept=-1024)
        image, volume = nibabel.load(path), open_nifti(ByteSource.of_file(path))
        opened = open_nifti_image(image)
        assert opened.name == name
        assert (opened.voxels() == volume.voxels()).all()
        np.testing.assert_allclose(opened.affine, volume.affine)
        assert not image.in_memory

    @pytest.mark.parametrize("order", ["C", "F"])
    def test_in_memory(self, order):
        hu_ijk = np.array(chest().transpose(2, 1, 0), order=order)
        volume = open_nifti_image(nibabel.Nifti1Image(hu_ijk, OBLIQUE))
        expected = places(OBLIQUE, hu_ijk.shape)
        if order == "F":
            hu_ijk, expected = hu_ijk.transpose(2, 1, 0), expected.transpose(2, 1, 0, 3)
        assert (volume.voxels() == hu_ijk).all()
        np.testing.assert_allclose(places(volume.affine, volume.shape), expected)

    def test_float64_in_memory_becomes_float32(self):
        volume = open_nifti_image(nibabel.Nifti1Image(np.full((2, 3, 4), 0.5), OBLIQUE))
        assert volume.voxels().dtype == np.float32

    def test_an_affine_changed_after_loading_counts(self, tmp_path):
        image = nibabel.load(write_nifti(tmp_path / "scan.nii.gz", chest(), OBLIQUE))
        image.set_sform(np.diag([1, 1, 2, 1]), 1)
        np.testing.assert_allclose(open_nifti_image(image).spacing, (2, 1, 1))

    def test_in_another_file_format_that_nibabel_opens(self, tmp_path):
        image = nibabel.Nifti1Image(chest().transpose(2, 1, 0), OBLIQUE)
        nibabel.save(image, tmp_path / "scan.nii.bz2")
        assert (open_nifti_image(nibabel.load(tmp_path / "scan.nii.bz2")).voxels() == chest()).all()

    def test_without_an_orientation(self):
        image = nibabel.Nifti1Image(chest(), None)
        with pytest.raises(VolumeError, match="sform_code 0"):
            open_nifti_image(image)
        assert open_nifti_image(image, orientation="SPL").shape == chest().shape

    def test_of_complex_numbers(self):
        with pytest.raises(VolumeError, match="complex64"):
            open_nifti_image(nibabel.Nifti1Image(np.zeros((2, 3, 4), np.complex64), OBLIQUE))

    def test_of_another_kind(self):
        image = nibabel.MGHImage(np.zeros((2, 3, 4), np.float32), np.eye(4))
        with pytest.raises(VolumeError, match="must be NIfTI; found MGHImage"):
            open_nifti_image(image)

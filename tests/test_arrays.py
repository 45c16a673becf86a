"""Arrays, tensors, pictures, .npy and .npz -> HU, affine, refusals."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from med3d_r1.arrays_med3d_r1 import open_array, open_npy, open_npz, open_picture
from med3d_r1.volume_med3d_r1 import VolumeError, VolumeWarning, orientation_affine, orientation_codes
from volume_files import chest, in_memory, npy_bytes, npz_bytes

SPACING = (3.0, 0.7, 0.8)


class TestArrays:
    def test_with_a_spacing_is_canonical(self):
        volume = open_array(chest(), spacing=SPACING)
        assert orientation_codes(volume.affine) == "SPL"
        assert volume.spacing == pytest.approx(SPACING)
        assert (volume.voxels() == chest()).all()

    def test_with_an_orientation(self):
        volume = open_array(chest(), spacing=SPACING, orientation="RAI")
        np.testing.assert_allclose(volume.affine, orientation_affine("RAI", SPACING))

    def test_with_an_affine(self):
        affine = np.diag([1.0, 2, 3, 1])
        np.testing.assert_allclose(open_array(chest(), affine=affine).affine, affine)

    @pytest.mark.parametrize("arguments", [{}, {"orientation": "SPL"}])
    def test_without_a_spacing_is_refused(self, arguments):
        with pytest.raises(VolumeError, match=r"how large its voxels are; found neither `spacing` nor `affine`"):
            open_array(chest(), **arguments)

    @pytest.mark.parametrize(("shape", "three"), [((1, 6, 5, 4), (6, 5, 4)), ((5, 4), (1, 5, 4))])
    def test_with_a_channel_or_as_one_slice(self, shape, three):
        assert open_array(chest(shape), spacing=SPACING).shape == three

    @pytest.mark.parametrize("shape", [(2, 6, 5, 4), (4,), (1, 1, 6, 5, 4)])
    def test_with_other_axes_are_refused(self, shape):
        with pytest.raises(VolumeError, match=r"the axes \(D, H, W\)"):
            open_array(np.zeros(shape, np.int16), spacing=SPACING)

    def test_without_voxels_are_refused(self):
        with pytest.raises(VolumeError, match="at least one voxel; found shape 0 x 5 x 4"):
            open_array(np.zeros((0, 5, 4), np.int16), spacing=SPACING)

    @pytest.mark.parametrize("dtype", [bool, object, "complex64", "U3", "longdouble"])
    def test_of_anything_but_numbers_are_refused(self, dtype):
        with pytest.raises(VolumeError, match="integers or real numbers of at most 64 bits"):
            open_array(np.zeros((2, 3, 4), dtype), spacing=SPACING)

    @given(st.permutations([0, 1, 2]), st.tuples(*[st.booleans()] * 3))
    def test_lie_in_memory_as_they_like(self, axes, flipped):
        """The same voxel is at the same place in the patient, whatever the strides."""
        base = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
        array = np.flip(base.transpose(axes), [axis for axis in range(3) if flipped[axis]])
        volume = open_array(array, spacing=SPACING)
        found = volume.voxels()
        for value in (0, 17, 59):
            stored = np.argwhere(found == value)[0]
            (given_index,) = np.argwhere(array == value)
            place = orientation_affine("SPL", SPACING) @ [*given_index, 1]
            np.testing.assert_allclose(volume.affine @ [*stored, 1], place)

    def test_are_neither_copied_nor_changed(self):
        array = chest()
        (block,) = open_array(array, spacing=SPACING).blocks()
        assert np.shares_memory(block, array)
        with pytest.raises(ValueError, match="read-only"):
            block[0] = 0


class TestPictures:
    @pytest.mark.parametrize("mode", ["L", "I", "F", "I;16"])
    def test_are_one_slice(self, mode):
        picture = Image.new(mode, (4, 5))
        picture.putpixel((3, 2), 7)
        volume = open_picture(picture, spacing=SPACING)
        assert volume.shape == (1, 5, 4)
        assert volume.voxels()[0, 2, 3] == 7

    def test_without_a_spacing_are_assumed_with_a_warning(self):
        with pytest.warns(VolumeWarning, match=r"Give `spacing=\(thickness, row, column\)`"):
            volume = open_picture(Image.new("L", (4, 5)))
        assert volume.spacing == pytest.approx((3.0, 1.5, 1.5))

    @pytest.mark.parametrize("mode", ["RGB", "P", "1", "RGBA"])
    def test_in_colour_are_refused(self, mode):
        with pytest.raises(VolumeError, match=f"one of the modes .*; found mode {mode}"):
            open_picture(Image.new(mode, (4, 5)), spacing=SPACING)


class TestNpy:
    @pytest.mark.parametrize("dtype", ["<i2", ">i2", "<f8", "u1"])
    @pytest.mark.parametrize("order", ["C", "F"])
    def test_is_streamed(self, dtype, order):
        hu = np.array(np.abs(chest()).clip(0, 100), dtype, order=order)
        volume = open_npy(in_memory(npy_bytes(hu), "scan.npy"), spacing=SPACING)
        found = volume.voxels()
        assert found.dtype in (np.int16, np.float32)
        assert volume.name == "scan.npy"
        if order == "F":
            assert orientation_codes(volume.affine) == "LPS"
            found = found.transpose(2, 1, 0)
        assert (found == hu).all()

    def test_of_objects_is_refused_without_unpickling(self):
        content = npy_bytes(np.array([[[print]]], object), allow_pickle=True)
        with pytest.raises(VolumeError, match="must not hold Python objects"):
            open_npy(in_memory(content), spacing=SPACING)

    @pytest.mark.parametrize(
        ("content", "rule"),
        [
            (b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + bytes(10), r"a header of 4,294,967,295 bytes"),
            (b"\x93NUMPY\x03\x00" + bytes(10), "header must be readable"),
            (b"\x93NUMPY\x01\x00\x10\x00{'descr': nonsen", "header must be readable"),
            (b"", "header must be readable"),
        ],
    )
    def test_with_a_damaged_header_is_refused(self, content, rule):
        with pytest.raises(VolumeError, match=rule):
            open_npy(in_memory(content), spacing=SPACING)

    def test_that_ends_early_is_refused(self):
        with pytest.raises(VolumeError, match=r"must hold all the voxels .* 240 bytes claimed"):
            open_npy(in_memory(npy_bytes(chest())[:-1]), spacing=SPACING)

    def test_that_claims_more_than_max_bytes_is_refused(self):
        with pytest.raises(VolumeError, match="at most 239 bytes"):
            open_npy(in_memory(npy_bytes(chest())), spacing=SPACING, max_bytes=239)

    @settings(max_examples=100)
    @given(st.data())
    def test_damaged_bytes_raise_nothing_but_volume_errors(self, data):
        content = bytearray(npy_bytes(chest((2, 3, 4))))
        for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=4)):
            content[place] = data.draw(st.integers(0, 255))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                open_npy(in_memory(bytes(content)), spacing=SPACING, max_bytes=1 << 20).voxels()
            except VolumeError:
                return


class TestNpz:
    @pytest.mark.parametrize("compressed", [True, False])
    def test_of_rad_chestct(self, compressed):
        """Nothing but `ct`: 0.8 mm, and the first slice is the head's. Index (0, 0, 0) is superior."""
        volume = open_npz(in_memory(npz_bytes(compressed, ct=chest()), "trn.npz"))
        assert (volume.voxels() == chest()).all()
        assert orientation_codes(volume.affine) == "IPL"
        assert volume.spacing == pytest.approx((0.8, 0.8, 0.8))
        assert volume.name == "trn.npz:ct"
        assert "RAD-ChestCT" in volume.notes[0]

    @pytest.mark.parametrize(
        ("entries", "arguments", "codes", "spacing"),
        [
            ({}, {"spacing": SPACING}, "IPL", SPACING),
            ({}, {"orientation": "SPL"}, "SPL", (0.8, 0.8, 0.8)),
            ({"spacing": SPACING}, {}, "IPL", SPACING),
            ({"orientation": "RAS", "spacing": SPACING}, {}, "RAS", SPACING),
            ({"orientation": "RAS"}, {"orientation": "SPL"}, "SPL", (0.8, 0.8, 0.8)),
            ({"affine": np.diag([1, 2, 3, 1])}, {}, "RAS", (1, 2, 3)),
            ({"affine": np.diag([1, 2, 3, 1])}, {"orientation": "SPL", "spacing": SPACING}, "SPL", SPACING),
            ({"orientation": "SPL", "spacing": SPACING}, {"affine": np.diag([1, 2, 3, 1])}, "RAS", (1, 2, 3)),
        ],
    )
    def test_arguments_go_before_entries_and_these_before_rad_chestct(self, entries, arguments, codes, spacing):
        volume = open_npz(in_memory(npz_bytes(ct=chest(), **entries)), **arguments)
        assert orientation_codes(volume.affine) == codes
        assert volume.spacing == pytest.approx(spacing)

    def test_with_everything_told_says_nothing_of_rad_chestct(self):
        assert open_npz(in_memory(npz_bytes(ct=chest(), spacing=SPACING, orientation="IPL"))).notes == ()

    def test_the_only_entry_may_have_another_name_and_is_canonical(self):
        volume = open_npz(in_memory(npz_bytes(arr_0=chest(), spacing=SPACING)))
        assert orientation_codes(volume.affine) == "SPL"
        with pytest.raises(VolumeError, match="neither `spacing` nor `affine`"):
            open_npz(in_memory(npz_bytes(arr_0=chest())))

    def test_of_several_arrays_lists_them(self):
        with pytest.raises(VolumeError, match="the entries left, right"):
            open_npz(in_memory(npz_bytes(left=chest(), right=chest())), spacing=SPACING)

    def test_of_objects_is_refused_without_unpickling(self):
        content = npz_bytes(ct=np.array([[[print]]], object))
        with pytest.raises(VolumeError, match="must not hold Python objects"):
            open_npz(in_memory(content))
        with pytest.raises(VolumeError, match="must not hold Python objects"):
            open_npz(in_memory(npz_bytes(ct=chest(), spacing=np.array([print], object))))

    def test_with_an_enormous_spacing_is_refused(self):
        with pytest.raises(VolumeError, match=r"spacing\.npy tells a geometry in a few numbers"):
            open_npz(in_memory(npz_bytes(ct=chest(), spacing=np.zeros(1000))))

    def test_that_claims_more_than_max_bytes_is_refused(self):
        """10 MB of zeros in 10 kB."""
        content = npz_bytes(True, ct=np.zeros((10, 1000, 500), np.int16))
        assert len(content) < 20_000
        with pytest.raises(VolumeError, match="may hold at most 1,000,000 bytes"):
            open_npz(in_memory(content), max_bytes=1_000_000)

    def test_with_a_damaged_checksum_is_refused(self):
        content = bytearray(npz_bytes(ct=chest()))
        content[-200] ^= 1
        with pytest.raises(VolumeError):
            open_npz(in_memory(bytes(content))).voxels()

"""DICOM slices, multi-frame files and series -> HU, affine, refusals."""

import warnings

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEGLosslessSV1

from med3d_r1 import dicom_frames_med3d_r1
from med3d_r1.dicom_med3d_r1 import open_dicom
from med3d_r1.reading_med3d_r1 import ByteSource
from med3d_r1.volume_med3d_r1 import CTVolume, VolumeError, VolumeWarning, orientation_codes
from volume_files import (
    AXIAL,
    PATIENT,
    chest,
    forbid,
    in_memory,
    positions,
    transcode,
    write_dicom_series,
    write_enhanced_dicom,
)

COMPRESSED = ["RLELossless", "JPEGLosslessProcess14_1", "JPEGLSLossless", "JPEG2000Lossless"]


def read(*paths, name="scan", **arguments) -> CTVolume:
    """A volume from files and folders."""
    files = [file for path in paths for file in (sorted(path.rglob("*")) if path.is_dir() else [path])]
    return open_dicom([ByteSource.of_file(file) for file in files if file.is_file()], name=name, **arguments)


class TestGeometry:
    def test_of_an_axial_series(self, tmp_path):
        """Columns grow to the patient's left (-x in RAS), rows to the back (-y), slices to the head (+z).

        The first voxel lies at (-100, -90, 40) mm LPS, which is (100, 90, 40) RAS.
        """
        hu = chest()
        write_dicom_series(tmp_path, hu, spacing=(2.0, 0.7, 0.8))
        volume = read(tmp_path)
        assert volume.shape == (6, 5, 4)
        expected = [[0, 0, -0.8, 100], [0, -0.7, 0, 90], [2, 0, 0, 40], [0, 0, 0, 1]]
        np.testing.assert_allclose(volume.affine, expected, atol=1e-9)
        assert (volume.voxels() == hu).all()
        assert volume.voxels().dtype == np.int16
        assert volume.notes == ()
        assert orientation_codes(volume.affine) == "SPL"

    @pytest.mark.parametrize(
        ("iop", "codes"),
        [
            ((1, 0, 0, 0, -1, 0), "IAL"),  # rows run to the front: the normal points to the feet
            ((-1, 0, 0, 0, 1, 0), "IPR"),
            ((1, 0, 0, 0, 0, -1), "PIL"),  # coronal
            ((0, 1, 0, 0, 0, -1), "RIP"),  # sagittal
        ],
    )
    def test_of_other_orientations(self, tmp_path, iop, codes):
        """The slice axis is column direction x row direction; worked out by hand for each row."""
        write_dicom_series(tmp_path, chest(), iop=iop)
        volume = read(tmp_path)
        assert orientation_codes(volume.affine) == codes
        assert (volume.voxels() == chest()).all()

    @given(st.floats(-40, 40), st.floats(-40, 40), st.floats(-40, 40))
    @settings(max_examples=15)
    def test_of_a_stack_that_is_turned_as_a_whole(self, tmp_path_factory, about_x, about_y, about_z):
        """The affine carries the turn: right angles, true spacing, and every voxel where DICOM's formula puts it."""
        turn = np.eye(3)
        for axis, angle in enumerate(np.radians([about_x, about_y, about_z])):
            a, b = [other for other in range(3) if other != axis]
            step = np.eye(3)
            step[[a, a, b, b], [a, b, a, b]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
            turn = turn @ step
        iop = [*turn[:, 0], *turn[:, 1]]
        folder = tmp_path_factory.mktemp("turned")
        write_dicom_series(folder, chest((4, 3, 2)), spacing=(1.5, 0.7, 0.8), iop=iop)
        volume = read(folder)
        np.testing.assert_allclose(volume.spacing, (1.5, 0.7, 0.8), rtol=1e-4)
        slice_, row, column = 3, 2, 1
        lps = positions(4, (1.5,), iop)[slice_] + turn[:, 0] * column * 0.8 + turn[:, 1] * row * 0.7
        np.testing.assert_allclose(volume.affine @ [slice_, row, column, 1], [-lps[0], -lps[1], lps[2], 1], atol=1e-4)

    def test_spacing_comes_from_positions(self, tmp_path):
        write_dicom_series(tmp_path, chest(), spacing=(2.0, 0.7, 0.8), SliceThickness=3, SpacingBetweenSlices=3)
        volume = read(tmp_path)
        assert volume.spacing == pytest.approx((2.0, 0.7, 0.8))
        assert volume.notes == ("Slices are 2 mm apart by their positions; SliceThickness says 3 mm.",)

    def test_positions_rounded_to_a_tenth_are_even(self, tmp_path):
        """0.625 mm steps written with one decimal are 0.6 and 0.7; their mean is taken."""
        places = np.round(positions(9, (0.625,)), 1)
        write_dicom_series(tmp_path, chest((9, 5, 4)), places=places)
        assert read(tmp_path).spacing[0] == pytest.approx(0.625)

    def test_a_single_slice_has_its_thickness(self, tmp_path):
        write_dicom_series(tmp_path, chest((1, 5, 4)), spacing=(5.0, 0.7, 0.8), SpacingBetweenSlices=20)
        volume = read(tmp_path)
        assert volume.spacing == pytest.approx((5.0, 0.7, 0.8))
        assert volume.notes == ("A single slice; its thickness of 5 mm is its SliceThickness.",)

    def test_a_single_slice_without_thickness_takes_the_spacing_between_slices(self, tmp_path):
        write_dicom_series(tmp_path, chest((1, 5, 4)), SliceThickness=None, SpacingBetweenSlices=4)
        assert read(tmp_path).spacing[0] == 4

    def test_a_single_slice_that_tells_nothing_is_3_mm_with_a_warning(self, tmp_path):
        write_dicom_series(tmp_path, chest((1, 5, 4)), SliceThickness=None)
        with pytest.warns(VolumeWarning, match="3 mm were assumed"):
            assert read(tmp_path).spacing[0] == 3

    def test_slices_that_are_there_twice_are_dropped(self, tmp_path):
        write_dicom_series(tmp_path, chest())
        write_dicom_series(tmp_path / "copy", chest()[2:4], places=positions(6, (2.0,))[2:4])
        volume = read(tmp_path)
        assert (volume.voxels() == chest()).all()
        assert volume.notes == ("2 slice(s) that were there twice were dropped.",)

    def test_two_different_slices_at_one_position_are_refused(self, tmp_path):
        """Position 2 of 6 at steps of 2 mm from 40 mm."""
        write_dicom_series(tmp_path, chest())
        write_dicom_series(tmp_path / "other", chest(seed=1)[2:3], places=positions(6, (2.0,))[2:3])
        with pytest.raises(VolumeError, match=r"each position has one slice; found two different ones at 44\.00 mm"):
            read(tmp_path)

    def test_the_same_slice_at_one_height_but_another_place_is_refused(self, tmp_path):
        write_dicom_series(tmp_path, chest())
        write_dicom_series(tmp_path / "aside", chest()[2:3], places=np.add(positions(6, (2.0,))[2:3], (5, 0, 0)))
        with pytest.raises(VolumeError, match="each position has one slice"):
            read(tmp_path)

    @pytest.mark.parametrize("missing", [1, 3])
    def test_a_missing_slice_is_named(self, tmp_path, missing):
        write_dicom_series(tmp_path, chest(), change=lambda index, dataset: index != missing)
        before, after = 40 + 2 * (missing - 1), 40 + 2 * (missing + 1)
        with pytest.raises(VolumeError, match=rf"even steps \(here 2 mm\).* between {before}\.00 and {after}\.00 mm"):
            read(tmp_path)

    def test_a_step_that_changes_on_the_way_is_refused(self, tmp_path):
        places = positions(6, (2.0,))
        places[3:, 2] += 0.3
        write_dicom_series(tmp_path, chest(), places=places)
        with pytest.raises(VolumeError, match=r"between 44\.00 and 46\.30 mm"):
            read(tmp_path)

    def test_a_tilted_gantry_is_refused_with_its_angle(self, tmp_path):
        """Steps of (0, 1, 2) mm against a normal along z: atan(1 / 2) = 26.6 degrees."""
        places = positions(6, (2.0,), lean=(0.0, 1.0, 0.0))
        write_dicom_series(tmp_path, chest(), places=places)
        with pytest.raises(VolumeError, match=r"a gantry tilt of 26\.6 degrees.*dcm2niix"):
            read(tmp_path)

    def test_a_lean_under_half_a_degree_is_not_a_tilt(self, tmp_path):
        """0.01 mm in 2 mm are 0.29 degrees."""
        write_dicom_series(tmp_path, chest(), places=positions(6, (2.0,), lean=(0.0, 0.01, 0.0)))
        assert read(tmp_path).shape == (6, 5, 4)

    def test_a_slice_that_lies_beside_the_others_is_refused(self, tmp_path):
        places = positions(6, (2.0,))
        places[3, 0] += 1.0
        write_dicom_series(tmp_path, chest(), places=places)
        with pytest.raises(VolumeError, match=r"lie on one line.*1\.0 mm beside it"):
            read(tmp_path)

    @pytest.mark.parametrize(
        ("keyword", "value"),
        [("PixelSpacing", [0.9, 0.8]), ("ImageOrientationPatient", [1, 0, 0, 0, 0.99, 0.141])],
    )
    def test_slices_that_are_not_alike_are_refused(self, tmp_path, keyword, value):
        def change(index, dataset):
            if index == 2:
                setattr(dataset, keyword, value)

        write_dicom_series(tmp_path, chest(), change=change)
        with pytest.raises(VolumeError, match=rf"all slices of a volume have the same {keyword}.*slice004"):
            read(tmp_path)

    def test_slices_of_other_sizes_are_refused(self, tmp_path):
        write_dicom_series(tmp_path, chest((3, 5, 4)))
        write_dicom_series(tmp_path / "wide", chest((1, 5, 6)), places=positions(4, (2.0,))[3:])
        with pytest.raises(VolumeError, match=r"Rows and Columns; found \[5\.0, 4\.0\].*\[5\.0, 6\.0\]"):
            read(tmp_path)

    @pytest.mark.parametrize("keyword", ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"])
    def test_slices_without_a_place_are_refused(self, tmp_path, keyword):
        write_dicom_series(tmp_path, chest(), change=lambda index, dataset: delattr(dataset, keyword))
        with pytest.raises(VolumeError, match=f"every slice needs {keyword}.*found nothing"):
            read(tmp_path)

    def test_directions_that_are_not_at_right_angles_are_refused(self, tmp_path):
        write_dicom_series(tmp_path, chest((1, 5, 4)), iop=AXIAL, ImageOrientationPatient=[1, 0, 0, 0.5, 0.8, 0])
        with pytest.raises(VolumeError, match="two unit vectors at a right angle"):
            read(tmp_path)

    @pytest.mark.parametrize("value", [[0, 0.7], [-0.7, 0.7], [200, 200]])
    def test_pixels_of_impossible_size_are_refused(self, tmp_path, value):
        write_dicom_series(tmp_path, chest(), PixelSpacing=value)
        with pytest.raises(VolumeError, match=r"PixelSpacing is positive|0\.01 and 100 mm"):
            read(tmp_path)


class TestVoxels:
    @pytest.mark.parametrize(
        "syntax",
        ["ImplicitVRLittleEndian", "ExplicitVRBigEndian", *COMPRESSED],
    )
    @pytest.mark.parametrize("dtype", ["uint16", "int16"])
    def test_of_every_transfer_syntax(self, tmp_path, syntax, dtype):
        hu = chest((3, 32, 24))
        for path in write_dicom_series(
            tmp_path,
            hu,
            dtype=dtype,
            BitsStored=12 if dtype == "uint16" else 16,
            HighBit=11 if dtype == "uint16" else 15,
        ):
            transcode(path, syntax)
            assert getattr(pydicom.uid, pydicom.dcmread(path).file_meta.TransferSyntaxUID.keyword)
        assert (read(tmp_path).voxels() == hu).all()

    def test_with_a_rescale_of_each_slice(self, tmp_path):
        """Stored 1000 with slope 1 and intercept -1024, then slope 2 and intercept 0.5."""

        def change(index, dataset):
            dataset.RescaleSlope, dataset.RescaleIntercept = ((1, -1024), (2, 0.5))[index]

        write_dicom_series(tmp_path, np.zeros((2, 5, 4)), intercept=-1000, change=change)
        volume = read(tmp_path)
        assert [float(block.mean()) for block in volume.blocks()] == [-24.0, 2000.5]
        assert [block.dtype for block in volume.blocks()] == [np.int16, np.float32]

    def test_without_a_rescale(self, tmp_path):
        write_dicom_series(tmp_path, chest(), dtype="int16", intercept=0.0, RescaleSlope=None, RescaleIntercept=None)
        volume = read(tmp_path)
        assert (volume.voxels() == chest()).all()
        assert volume.notes == ("RescaleSlope or RescaleIntercept is missing; 1 and 0 were taken in their place.",)

    def test_with_a_slope_of_zero(self, tmp_path):
        write_dicom_series(tmp_path, chest(), RescaleSlope=0)
        with pytest.raises(VolumeError, match="RescaleSlope is not 0"):
            read(tmp_path)

    @pytest.mark.parametrize(
        ("dtype", "value", "limit", "stored", "expected"),
        [
            # -2000 is padding, and what is nearer to its -3024 HU than to -1024 HU is smeared padding: below -2024
            ("int16", -2000, None, [-2000, -2971, -1001, -999, 24], [-1024, -1024, -1024, -2023, -1000]),
            # the same written as unsigned
            ("int16", 63536, None, [-2000, 24, 25, 26, 27], [-1024, -1000, -999, -998, -997]),
            # padding of 0 is -1024 HU already; 63536 unsigned is bright: only that value
            ("uint16", 0, None, [0, 1, 2, 3, 4], [-1024, -1023, -1022, -1021, -1020]),
            ("uint16", 63536, None, [63536, 1024, 1023, 1025, 1026], [-1024, 0, -1, 1, 2]),
            # a range
            ("uint16", 4000, 4095, [3999, 4000, 4050, 4095, 4096], [2975, -1024, -1024, -1024, 3072]),
        ],
    )
    def test_padding_becomes_air(self, tmp_path, dtype, value, limit, stored, expected):
        def change(index, dataset):
            vr = "US" if value > 32767 or dtype == "uint16" else "SS"
            dataset.add_new("PixelPaddingValue", vr, value)
            if limit is not None:
                dataset.add_new("PixelPaddingRangeLimit", vr, limit)
            dataset.PixelData = np.array([stored], dtype).tobytes() + bytes(0)

        write_dicom_series(tmp_path, np.zeros((1, 1, 5)), dtype=dtype, change=change)
        assert read(tmp_path).voxels().ravel().tolist() == expected

    def test_padding_in_implicit_vr(self, tmp_path):
        """Where the file does not say whether the padding value is signed, the pixels do."""

        def change(index, dataset):
            dataset.add_new("PixelPaddingValue", "SS", -2000)

        paths = write_dicom_series(tmp_path, np.full((2, 4, 4), -3024), dtype="int16", change=change)
        for path in paths:
            transcode(path, "ImplicitVRLittleEndian")
        assert (read(tmp_path).voxels() == -1024).all()

    def test_that_end_early(self, tmp_path):
        def change(index, dataset):
            if index == 2:
                dataset.PixelData = dataset.PixelData[:-6]

        write_dicom_series(tmp_path, chest(), change=change)
        volume = read(tmp_path)
        with pytest.raises(VolumeError, match=r"slice004.dcm: the file must hold all the pixels"):
            volume.voxels()

    @pytest.mark.parametrize("syntax", COMPRESSED)
    @pytest.mark.parametrize("part", [0.1, 0.9])
    def test_of_a_code_stream_that_ends_early(self, tmp_path, syntax, part):
        (path,) = write_dicom_series(tmp_path, chest((1, 32, 24)))
        transcode(path, syntax)
        dataset = pydicom.dcmread(path)
        whole = pydicom.encaps.get_frame(dataset.PixelData, 0)
        dataset.PixelData = pydicom.encaps.encapsulate([whole[: int(part * len(whole))]])
        dataset.save_as(path)
        with pytest.raises(VolumeError, match=r"slice001.dcm"):
            read(path).voxels()

    @pytest.mark.parametrize("syntax", COMPRESSED)
    def test_of_a_compressed_file_that_ends_early(self, tmp_path, syntax):
        (path,) = write_dicom_series(tmp_path, chest((1, 32, 24)))
        transcode(path, syntax)
        path.write_bytes(path.read_bytes()[:-300])
        with pytest.raises(VolumeError, match=r"slice001.dcm"):
            read(path).voxels()

    def test_in_colour(self, tmp_path):
        write_dicom_series(tmp_path, chest(), SamplesPerPixel=3)
        with pytest.raises(VolumeError, match="one value a voxel; found a colour image"):
            read(tmp_path)

    def test_without_pixels(self, tmp_path):
        write_dicom_series(tmp_path, chest(), PixelData=None)
        with pytest.raises(VolumeError, match="the file must hold all the pixels"):
            read(tmp_path).voxels()

    def test_more_than_max_bytes(self, tmp_path):
        write_dicom_series(tmp_path, chest((6, 5, 4)))
        assert read(tmp_path, max_bytes=240).shape == (6, 5, 4)
        with pytest.raises(VolumeError, match=r"at most 239 bytes.*6 x 5 x 4 voxels of 2 bytes"):
            read(tmp_path, max_bytes=239)

    def test_are_decoded_when_they_are_asked_for(self, tmp_path, monkeypatch):
        write_dicom_series(tmp_path, chest())
        volume = read(tmp_path)
        asked = []
        real = dicom_frames_med3d_r1._hounsfield
        monkeypatch.setattr(
            dicom_frames_med3d_r1, "_hounsfield", lambda frame, stored: asked.append(frame) or real(frame, stored)
        )
        blocks = volume.blocks()
        next(blocks)
        assert len(asked) == 1


class TestMultiFrame:
    def test_frames_are_placed_and_rescaled_each_for_itself(self, tmp_path):
        hu = chest((4, 5, 4))
        path = write_enhanced_dicom(
            tmp_path / "enhanced.dcm", hu, order=[2, 0, 3, 1], intercepts=[-1024, -1000, -2000, -1024]
        )
        volume = read(path)
        expected = [[0, 0, -0.8, 100], [0, -0.7, 0, 90], [2, 0, 0, 40], [0, 0, 0, 1]]
        np.testing.assert_allclose(volume.affine, expected, atol=1e-9)
        assert (volume.voxels() == hu).all()

    @pytest.mark.parametrize("syntax", COMPRESSED)
    @pytest.mark.parametrize("with_table", [True, False])
    def test_compressed(self, tmp_path, syntax, with_table):
        """Frame by frame, with and without a table of where each begins."""
        hu, order = chest((3, 32, 24)), [2, 0, 1]
        frames = []
        for path in write_dicom_series(tmp_path, hu):
            transcode(path, syntax)
            single = pydicom.dcmread(path)
            frames.append(pydicom.encaps.get_frame(single.PixelData, 0))

        def change(dataset):
            dataset.file_meta.TransferSyntaxUID = single.file_meta.TransferSyntaxUID
            dataset.PixelData = pydicom.encaps.encapsulate([frames[i] for i in order], has_bot=with_table)
            dataset["PixelData"].is_undefined_length = True

        path = write_enhanced_dicom(tmp_path / "enhanced.dcm", hu, order=order, change=change)
        assert (read(path).voxels() == hu).all()

    def test_a_localizer_frame_is_left_out(self, tmp_path):
        def change(dataset):
            kind = pydicom.Dataset()
            kind.FrameType = ["ORIGINAL", "PRIMARY", "LOCALIZER", "NONE"]
            dataset.PerFrameFunctionalGroupsSequence[0].CTImageFrameTypeSequence = [kind]

        volume = read(write_enhanced_dicom(tmp_path / "enhanced.dcm", chest(), change=change))
        assert volume.shape == (5, 5, 4)

    def test_frames_without_a_description_are_refused(self, tmp_path):
        def change(dataset):
            del dataset.PerFrameFunctionalGroupsSequence[0]

        path = write_enhanced_dicom(tmp_path / "enhanced.dcm", chest(), change=change)
        with pytest.raises(VolumeError, match="describes each of its frames; found 5 descriptions for 6 frames"):
            read(path)

    def test_two_time_points_in_one_file_are_refused(self, tmp_path):
        def change(dataset):
            for group in dataset.PerFrameFunctionalGroupsSequence[3:]:
                position = group.PlanePositionSequence[0]
                position.ImagePositionPatient[2] = float(position.ImagePositionPatient[2]) - 6

        path = write_enhanced_dicom(tmp_path / "enhanced.dcm", chest(), change=change)
        with pytest.raises(VolumeError, match="each position has one slice"):
            read(path)


class TestSeries:
    """A folder with a localizer, a thick axial series, a thin one, a coronal one and an MR."""

    @pytest.fixture
    def folder(self, tmp_path):
        def series(number, description, slices, **elements):
            elements.setdefault("SeriesInstanceUID", f"1.2.3.{number}")
            hu = chest((slices, 5, 4), seed=number)
            return write_dicom_series(
                tmp_path / str(number), hu, SeriesNumber=number, SeriesDescription=description, **elements
            )

        series(1, "Topogram", 1, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"], SeriesInstanceUID="1.2.3.3")
        series(2, "Chest 5.0", 3)
        series(3, "Chest 1.0", 5)
        series(4, "Coronal", 7, iop=(1, 0, 0, 0, 0, -1))
        series(5, "T2", 9, Modality="MR")
        (tmp_path / "report.pdf").write_bytes(b"%PDF")
        (tmp_path / "DICOMDIR").write_bytes(bytes(128) + b"nothing")
        return tmp_path

    def test_the_largest_axial_ct_is_read(self, folder):
        volume = read(folder)
        assert (volume.voxels() == chest((5, 5, 4), seed=3)).all()
        assert volume.notes[0] == "1 localizer image(s) were left out."
        assert volume.notes[1].startswith("One series of 4 was read: number 3 'Chest 1.0' (CT, 5 slices). All of them:")

    @pytest.mark.parametrize("wanted", ["chest 5.0", 2, "2", "1.2.3.2"])
    def test_a_series_can_be_named(self, folder, wanted):
        assert (read(folder, series=wanted).voxels() == chest((3, 5, 4), seed=2)).all()

    def test_a_coronal_one_too(self, folder):
        volume = read(folder, series="Coronal")
        assert volume.shape == (7, 5, 4)
        assert "The series is not axial." in volume.notes

    def test_an_unknown_one_lists_what_there_is(self, folder):
        with pytest.raises(VolumeError) as caught:
            read(folder, series="Abdomen")
        assert "found 0 for 'Abdomen'" in str(caught.value)
        for label in ("number 2 'Chest 5.0' (CT, 3 slices)", "number 5 'T2' (MR, 9 slices)"):
            assert label in str(caught.value)

    def test_ct_goes_first_and_another_modality_is_read_with_a_warning(self, folder):
        assert read(folder).headers["modality"] == "CT"
        with pytest.warns(VolumeWarning, match="The modality is MR: only a CT is stored in Hounsfield units"):
            assert read(folder, series="T2").shape == (9, 5, 4)
        assert read(folder, modality="MR").headers["modality"] == "MR"
        with pytest.raises(VolumeError, match=r"modality must be CT.*found modality MR.*Leave `modality` out"):
            read(folder, series="T2", modality="CT")

    def test_of_equals_the_lowest_number_is_read(self, tmp_path):
        for number in (12, 3, 4):
            write_dicom_series(
                tmp_path / str(number), chest(seed=number), SeriesNumber=number, SeriesInstanceUID=f"1.2.{20 - number}"
            )
        volume = read(tmp_path)
        assert (volume.voxels() == chest(seed=3)).all()
        assert "Another series is as large; the one with the lowest series number was taken." in volume.notes

    def test_a_description_that_two_share_is_not_enough(self, tmp_path):
        for number in (1, 2):
            write_dicom_series(tmp_path / str(number), chest(), SeriesNumber=number, SeriesInstanceUID=f"1.2.{number}")
        with pytest.raises(VolumeError, match=r"exactly one series; found 2 for 'CHEST 1\.0'"):
            read(tmp_path, series="CHEST 1.0")

    def test_only_localizers(self, tmp_path):
        write_dicom_series(tmp_path, chest(), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
        with pytest.raises(VolumeError, match="must hold slices; found localizers only"):
            read(tmp_path)

    def test_no_images(self, tmp_path):
        write_dicom_series(tmp_path, chest(), Rows=None)
        with pytest.raises(VolumeError, match="must hold slices; found no image in them"):
            read(tmp_path)


class TestFiles:
    def test_without_file_meta_information(self, tmp_path):
        (path,) = write_dicom_series(tmp_path, chest((1, 5, 4)))
        path.write_bytes(path.read_bytes()[132:])
        with pytest.raises(VolumeError, match=r"'DICM' at byte 128.*found 1 file\(s\) without it"):
            read(path)

    def test_without_a_transfer_syntax(self, tmp_path):
        (path,) = write_dicom_series(tmp_path, chest((1, 5, 4)))
        content = path.read_bytes()
        path.write_bytes(content.replace(b"\x02\x00\x10\x00UI", b"\x02\x00\x13\x00SH"))
        with pytest.raises(VolumeError, match="must name a transfer syntax"):
            read(path)

    def test_deflated_ones_are_refused_before_they_are_inflated(self, tmp_path):
        """pydicom inflates such a file whole, whatever it grows to."""
        (path,) = write_dicom_series(tmp_path, chest((1, 5, 4)))
        dataset = pydicom.dcmread(path)
        dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        dataset.save_as(path)
        with pytest.raises(VolumeError, match=r"not the deflated one.*dcmconv"):
            read(path)

    def test_with_an_unknown_transfer_syntax(self, tmp_path):
        (path,) = write_dicom_series(tmp_path, chest((1, 5, 4)))
        content = path.read_bytes()
        path.write_bytes(content.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.9.9.9\0"))
        with pytest.raises(VolumeError, match=r"transfer syntax that pydicom decodes.*1\.2\.840\.10008\.9\.9\.9"):
            read(path)

    def test_a_missing_codec_is_named(self, tmp_path, monkeypatch):
        (path,) = write_dicom_series(tmp_path, chest((1, 32, 24)))
        transcode(path, "JPEGLosslessProcess14_1")
        monkeypatch.setattr(pydicom.pixels.get_decoder(JPEGLosslessSV1), "_available", {})
        with pytest.raises(VolumeError, match=r"decoding JPEG Lossless.*pip install python-gdcm"):
            read(path)

    @pytest.mark.parametrize("keyword", ["CodeMeaning", "CodeValue"])
    def test_with_the_remains_of_a_broken_sequence(self, tmp_path, keyword):
        write_dicom_series(tmp_path, chest(), **{keyword: "121327"})
        with pytest.raises(VolumeError, match=f"{keyword} outside of any sequence"):
            read(tmp_path)

    def test_with_a_whole_code_sequence(self, tmp_path):
        code = pydicom.Dataset()
        code.CodeValue, code.CodeMeaning = "121327", "Full fidelity image"
        write_dicom_series(tmp_path, chest(), DerivationCodeSequence=[code])
        assert read(tmp_path).shape == (6, 5, 4)

    def test_without_pydicom_the_error_says_what_to_install(self, tmp_path, monkeypatch):
        write_dicom_series(tmp_path, chest())
        forbid(monkeypatch, "pydicom")
        with pytest.raises(VolumeError, match="pip install pydicom"):
            read(tmp_path)

    def test_the_patient_is_nowhere(self, tmp_path):
        paths = write_dicom_series(tmp_path, chest(), SliceThickness=3)
        spoken = repr(read(tmp_path))
        for broken in ({"series": "nothing"}, {"modality": "MR"}):
            with pytest.raises(VolumeError) as caught:
                read(tmp_path, **broken)
            spoken += str(caught.value)
        image = dicom_frames_med3d_r1.read_image(ByteSource.of_file(paths[0]))
        spoken += str(image.header)
        assert not [value for value in PATIENT.values() if value in spoken]
        assert "1.2.3.1" not in str(caught.value)

    def test_what_pydicom_thinks_of_the_values_is_not_passed_on(self, tmp_path):
        """Its warnings quote them."""
        write_dicom_series(tmp_path, chest())
        for path in tmp_path.iterdir():
            path.write_bytes(path.read_bytes().replace(b"1.2.3.1\0", b"x.2.3.1\0"))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert read(tmp_path).shape == (6, 5, 4)

    @settings(max_examples=120)
    @given(st.data(), st.sampled_from(["classic", "enhanced"]))
    def test_damaged_bytes_raise_nothing_but_volume_errors(self, tmp_path_factory, data, kind):
        content = bytearray(small_file(tmp_path_factory, kind))
        for place in data.draw(st.lists(st.integers(128, len(content) - 1), min_size=1, max_size=5)):
            content[place] = data.draw(st.integers(0, 255))
        content = bytes(content[: data.draw(st.sampled_from([None, None, len(content) - 20, len(content) // 2, 140]))])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                voxels = open_dicom([in_memory(content)], name="scan", modality=None, max_bytes=1 << 20).voxels()
            except VolumeError:
                return
        assert voxels.dtype in (np.int16, np.float32)


_small_files = {}


def small_file(factory, kind: str) -> bytes:
    if kind not in _small_files:
        folder = factory.mktemp("small")
        if kind == "classic":
            (path,) = write_dicom_series(folder, chest((1, 4, 4)))
        else:
            path = write_enhanced_dicom(folder / "enhanced.dcm", chest((2, 4, 4)))
        _small_files[kind] = path.read_bytes()
    return _small_files[kind]

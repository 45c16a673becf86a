"""The one door: which form a source has, and the sentences for those that have none."""

import gzip
import io
import pickle
import warnings

import nibabel
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from med3d_r1.prepared_med3d_r1 import PreparedVolume
from med3d_r1.volume_io_med3d_r1 import open_volume
from med3d_r1.volume_med3d_r1 import VolumeError, VolumeWarning, orientation_codes
from volume_files import (
    chest,
    forbid,
    nifti_bytes,
    npy_bytes,
    npz_bytes,
    write_dicom_series,
    write_enhanced_dicom,
    write_nifti,
    zip_file,
)

SPACING = (2.0, 0.7, 0.8)
LPS_AFFINE = np.array([[-0.8, 0, 0, 100], [0, -0.7, 0, 90], [0, 0, 2, 40], [0, 0, 0, 1]])
"""Of NIfTI's (i, j, k): the same grid that `write_dicom_series` makes."""

AFFINE = LPS_AFFINE[:, [2, 1, 0, 3]]
"""Of the same grid as an array (slices, rows, columns)."""


HU = chest()


def saved(path, content: bytes):
    path.write_bytes(content)
    return path


def zipped_dicom(folder):
    slices = write_dicom_series(folder / "series", HU, SPACING)
    members = {"autorun.exe": b"MZ", **{f"disk/{path.name}": path.read_bytes() for path in slices}}
    return zip_file(folder / "dicom.zip", members)


def written_series(folder):
    write_dicom_series(folder / "patient" / "series", HU, SPACING)
    return folder


FORMS = {
    "nii": lambda folder: write_nifti(folder / "scan.nii", HU, LPS_AFFINE),
    "nii.gz": lambda folder: write_nifti(folder / "scan.nii.gz", HU, LPS_AFFINE),
    "path as text": lambda folder: str(write_nifti(folder / "scan.nii", HU, LPS_AFFINE)),
    "path in a mapping": lambda folder: {"type": "image", "path": write_nifti(folder / "a.nii", HU, LPS_AFFINE)},
    "nii without a suffix": lambda folder: saved(folder / "IM0001", nifti_bytes(HU, LPS_AFFINE)),
    "nii as bytes": lambda folder: {"path": "scan.nii.gz", "bytes": gzip.compress(nifti_bytes(HU, LPS_AFFINE))},
    "nibabel": lambda folder: nibabel.load(write_nifti(folder / "scan.nii.gz", HU, LPS_AFFINE)),
    "npy": lambda folder: {"path": saved(folder / "scan.npy", npy_bytes(HU)), "affine": AFFINE},
    "npz": lambda folder: saved(folder / "scan.npz", npz_bytes(True, ct=HU, affine=AFFINE)),
    "array": lambda folder: {"array": HU, "affine": AFFINE},
    "tensor": lambda folder: {"array": torch.from_numpy(HU), "affine": AFFINE},
    "float64 tensor": lambda folder: {"array": torch.from_numpy(HU).double(), "affine": AFFINE},
    "array with a channel": lambda folder: {"image": HU[None], "affine": AFFINE},
    "dicom folder": written_series,
    "dicom files": lambda folder: write_dicom_series(folder, HU, SPACING),
    "dicom files as text": lambda folder: tuple(map(str, write_dicom_series(folder, HU, SPACING))),
    "enhanced dicom": lambda folder: write_enhanced_dicom(folder / "scan.dcm", HU, SPACING),
    "list of one enhanced dicom": lambda folder: [write_enhanced_dicom(folder / "scan.dcm", HU, SPACING)],
    "zipped nii": lambda folder: zip_file(folder / "a.zip", {"scan.nii": nifti_bytes(HU, LPS_AFFINE)}),
    "zipped nii.gz": lambda folder: zip_file(
        folder / "a.zip", {"b/scan.nii.gz": gzip.compress(nifti_bytes(HU, LPS_AFFINE)), "b/README": b""}
    ),
    "zipped npz": lambda folder: zip_file(folder / "a.zip", {"scan.npz": npz_bytes(True, ct=HU, affine=AFFINE)}),
    "zipped dicom": zipped_dicom,
    "zipped enhanced dicom": lambda folder: zip_file(
        folder / "a.zip", {"IM1": write_enhanced_dicom(folder / "scan.dcm", HU, SPACING).read_bytes()}
    ),
}
"""One scan in every form."""


@pytest.mark.parametrize("form", FORMS)
def test_one_scan_in_every_form_is_one_scan(tmp_path, form):
    volume = open_volume(FORMS[form](tmp_path))
    assert (volume.voxels() == HU).all()
    np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-5)
    assert open_volume(volume) is volume


def test_a_bfloat16_tensor_is_read_although_numpy_has_no_such_type():
    tensor = torch.tensor([[[-1000.0, 40.0]]], dtype=torch.bfloat16)
    assert open_volume(tensor, spacing=SPACING).voxels().ravel().tolist() == [-1000, 40]


def test_a_picture_is_one_slice():
    assert open_volume(Image.new("F", (4, 5)), spacing=SPACING).shape == (1, 5, 4)
    with pytest.warns(VolumeWarning):
        open_volume({"image": Image.new("F", (4, 5))})


def test_a_mapping_goes_before_the_arguments():
    volume = open_volume({"array": chest(), "orientation": "RAS"}, spacing=SPACING, orientation="SPL")
    assert orientation_codes(volume.affine) == "RAS"


class TestPreparedVolumes:
    @pytest.fixture
    def prepared(self):
        return PreparedVolume(chest(), np.eye(4), {"source": "scan"})

    def test_are_read_from_their_file(self, prepared, tmp_path):
        prepared.save(tmp_path / "entry.npz")
        assert (open_volume(tmp_path / "entry.npz").hu == prepared.hu).all()

    def test_are_returned_as_they_are(self, prepared):
        assert open_volume(prepared) is prepared
        assert open_volume({"volume": prepared}) is prepared

    def test_of_another_copy_of_the_code_are_returned_too(self):
        """Code from the Hub and the installed package have a class each of the same name."""
        other = type("PreparedVolume", (), {})()
        assert open_volume(other) is other


class TestRefusals:
    def refused(self, rule, source, **arguments):
        with pytest.raises(VolumeError, match=rule) as caught:
            open_volume(source, **arguments)
        return str(caught.value)

    def test_a_missing_file(self, tmp_path):
        assert str(tmp_path / "scan.nii") in self.refused("must exist; found nothing there", tmp_path / "scan.nii")
        self.refused("not even the folder", tmp_path / "no" / "scan.nii")

    @pytest.mark.parametrize("url", ["https://host/scan.nii.gz", "hf://datasets/a/scan.nii.gz", "file:///scan.nii"])
    def test_a_url(self, url):
        self.refused("found a URL. Download it first", url)

    @pytest.mark.parametrize("source", [None, 5, b"bytes", object()])
    def test_things_that_are_no_scan(self, source):
        self.refused(r"one of the supported forms; .*Give a path to \.nii", source)

    @pytest.mark.parametrize("source", [[], [1, 2], [chest()]])
    def test_lists_of_things_that_are_no_paths(self, source):
        self.refused("a list holds the paths of one volume's DICOM files", source)

    def test_a_list_of_volumes(self, tmp_path):
        paths = [write_nifti(tmp_path / f"{name}.nii", chest()) for name in "ab"]
        self.refused(r"found a\.nii, which is not DICOM", paths)
        assert open_volume(paths[:1]).shape == (6, 5, 4)

    @pytest.mark.parametrize("source", [{}, {"path": "a", "array": chest()}, {"array": chest(), "space": SPACING}])
    def test_mappings(self, source):
        self.refused("a dict has exactly one of", source)

    def test_a_folder_without_dicom(self, tmp_path):
        self.refused("a folder must hold DICOM files; found no file", tmp_path)
        write_nifti(tmp_path / "scan.nii", chest())
        self.refused(r"found 1 other files \(scan\.nii\).*Give the path of the scan itself", tmp_path)

    def test_a_geometry_for_dicom(self, tmp_path):
        write_dicom_series(tmp_path, chest())
        self.refused("DICOM tells its own geometry; found `spacing`", tmp_path, spacing=SPACING)

    @pytest.mark.parametrize(
        ("name", "content", "rule"),
        [
            ("scan.nrrd", b"NRRD0004\n", "found NRRD. Convert the scan to NIfTI"),
            ("scan.mha", b"ObjectType = Image\n", "found MetaImage. Convert the scan to NIfTI"),
            ("scan.nii", b"", "a NIfTI file begins with a header"),
            ("scan.nii", b"nonsense" * 100, "a NIfTI file begins with a header"),
            ("scan.nii.gz", gzip.compress(b"nonsense" * 100, mtime=0), "a NIfTI file begins with a header"),
            ("scan.hdr", bytes(348), "a NIfTI file begins with a header"),
            ("scan.dcm", bytes(300), "has 'DICM' at byte 128"),
            ("scan.png", b"\x89PNG", r"found a file that begins with b'.x89PNG'. Give a path to"),
            ("scan", b"nonsense", "a scan in a file is NIfTI, DICOM, .npz or .npy"),
            ("scan.pkl", pickle.dumps(chest()), "a scan in a file is NIfTI, DICOM, .npz or .npy"),
            ("scan.zip", b"PK\x03\x04", "a zip file must be readable"),
        ],
    )
    def test_files_of_other_kinds(self, tmp_path, name, content, rule):
        (tmp_path / name).write_bytes(content)
        assert self.refused(rule, tmp_path / name).startswith(name)

    def test_a_nifti_without_nibabel_while_arrays_work(self, tmp_path, monkeypatch):
        path = write_nifti(tmp_path / "scan.nii.gz", chest())
        forbid(monkeypatch, "nibabel")
        self.refused("pip install nibabel", path)
        assert open_volume(chest(), spacing=SPACING).shape == (6, 5, 4)

    def test_a_dicom_without_pydicom_while_arrays_work(self, tmp_path, monkeypatch):
        write_dicom_series(tmp_path, chest())
        forbid(monkeypatch, "pydicom")
        self.refused("pip install pydicom", tmp_path)
        assert open_volume(chest(), spacing=SPACING).shape == (6, 5, 4)


class TestZips:
    def refused(self, rule, path, **arguments):
        with pytest.raises(VolumeError, match=rule):
            open_volume(path, **arguments)

    def test_with_two_scans(self, tmp_path):
        members = {"a.nii": nifti_bytes(chest(), LPS_AFFINE), "b.nii": nifti_bytes(chest(), LPS_AFFINE)}
        self.refused("one scan.*found 0 DICOM files, 2 other scans, 2 files", zip_file(tmp_path / "two.zip", members))

    def test_without_a_scan(self, tmp_path):
        self.refused("found 0 DICOM files, 0 other scans, 1 files", zip_file(tmp_path / "no.zip", {"a.txt": b"a"}))

    @pytest.mark.parametrize("inner", ["inner.zip", "inner.npz"])
    def test_with_a_zip_in_it(self, tmp_path, inner):
        content = zip_file(tmp_path / "inner.zip", {"scan.nii": nifti_bytes(chest(), LPS_AFFINE)}).read_bytes()
        self.refused(r"archives in it are not opened|a \.npz holds", zip_file(tmp_path / "outer.zip", {inner: content}))

    def test_of_a_bomb(self, tmp_path):
        """50 MB of zeros in 50 kB."""
        path = zip_file(tmp_path / "bomb.zip", {"scan.nii": bytes(50_000_000)})
        assert path.stat().st_size < 100_000
        self.refused("may hold at most 1,000,000 bytes; found 50,000,000 bytes claimed", path, max_bytes=1_000_000)

    def test_of_a_gzip_bomb(self, tmp_path):
        """The header claims 2 GB, and the zip's member could hold them: refused at the limit that is a setting."""
        header = nifti_bytes(chest(), LPS_AFFINE, dim=[3, 1000, 1000, 1000, 1, 1, 1, 1])
        buffer = io.BytesIO()
        with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=1) as stream:
            stream.write(header)
            for _ in range(20):
                stream.write(bytes(1_000_000))
        path = zip_file(tmp_path / "bomb.zip", {"scan.nii.gz": buffer.getvalue()})
        self.refused("at most 1,000,000,000 bytes.*2,000,000,000 bytes", path, max_bytes=1_000_000_000)

    def test_leave_no_file_open(self, tmp_path):
        content = nifti_bytes(chest(), LPS_AFFINE)
        path = zip_file(tmp_path / "scan.zip", {"scan.nii": content})
        with warnings.catch_warnings():
            warnings.simplefilter("error", ResourceWarning)
            volume = open_volume(path)
            assert (volume.voxels() == chest()).all()
            del volume

    @settings(max_examples=60)
    @given(st.data())
    def test_damaged_bytes_raise_nothing_but_volume_errors(self, tmp_path_factory, data):
        path = tmp_path_factory.getbasetemp() / "damaged.zip"
        content = bytearray(
            zip_file(path, {"a/scan.nii.gz": gzip.compress(nifti_bytes(chest(), LPS_AFFINE))}).read_bytes()
        )
        for place in data.draw(st.lists(st.integers(4, len(content) - 1), min_size=1, max_size=5)):
            content[place] = data.draw(st.integers(0, 255))
        path.write_bytes(content[: data.draw(st.sampled_from([None, None, len(content) // 2, 40]))])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                open_volume(path, max_bytes=1 << 20).voxels()
            except VolumeError:
                return


@settings(max_examples=100)
@given(st.binary(max_size=700), st.sampled_from(["", ".nii", ".nii.gz", ".dcm", ".npy", ".npz", ".zip"]))
def test_random_bytes_raise_nothing_but_volume_errors(tmp_path_factory, content, suffix):
    path = tmp_path_factory.getbasetemp() / f"random{suffix}"
    for magic in (b"", b"PK\x03\x04", b"\x93NUMPY\x01\x00", b"\x1f\x8b\x08\x00", bytes(128) + b"DICM"):
        path.write_bytes(magic + content)
        with pytest.raises(VolumeError):
            open_volume(path, spacing=SPACING if suffix == ".npy" else None)

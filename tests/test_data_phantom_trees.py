"""Synthetic chests on disk: the readers of CT-RATE and RAD-ChestCT read them, and a folder can be gone on with."""

import csv
import json

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from med3d_r1.abnormalities import CT_RATE_LABELS, CT_RATE_TO_RAD_CHESTCT, RAD_CHESTCT_TO_CT_RATE
from med3d_r1.data.ct_rate import questions_file, read_ct_rate
from med3d_r1.data.phantom import make_phantom, write_ct_rate_tree, write_rad_chestct_tree
from med3d_r1.data.phantom.chest import draw_chest
from med3d_r1.data.phantom.files import reoriented, save_nifti, save_npz
from med3d_r1.data.phantom.rad_chestct_tree import label_columns
from med3d_r1.data.rad_chestct import read_rad_chestct
from med3d_r1.data.vqa import read_vqa, split_options
from med3d_r1.image_processing_med3d_r1 import Med3DR1ImageProcessor
from med3d_r1.volume_io_med3d_r1 import open_volume
from med3d_r1.volume_med3d_r1 import orientation_codes

pytestmark = pytest.mark.filterwarnings("ignore::med3d_r1.volume_med3d_r1.VolumeWarning")  # few and thick slices

SMALL = (16, 24, 24)
PATIENTS = {"train": 6, "validation": 4}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_ct_rate_tree(
        tmp_path_factory.mktemp("ct-rate") / "new",
        PATIENTS,
        shape=SMALL,
        seed=5,
        second_reconstruction=0.5,
        original=True,
    )


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def grid(shape=(20, 48, 48)):
    return Med3DR1ImageProcessor((15, 7, 7), shape, shape)


@given(letters=st.permutations(["RL", "AP", "SI"]), signs=st.tuples(*[st.booleans()] * 3), seed=st.integers(0, 50))
def test_voxels_stay_where_they_are_in_the_world_whatever_the_axes(letters, signs, seed):
    rng = np.random.default_rng(seed)
    volume = rng.integers(-1000, 1000, (3, 4, 5), dtype=np.int16)
    affine = make_affine(rng)
    orientation = "".join(pair[sign] for pair, sign in zip(letters, signs, strict=True))
    turned, turned_affine = reoriented(volume, affine, orientation)
    assert orientation_codes(turned_affine) == orientation
    at = {tuple(np.round(affine @ (*index, 1), 6)[:3]): value for index, value in np.ndenumerate(volume)}
    for index, value in np.ndenumerate(turned):
        assert at[tuple(np.round(turned_affine @ (*index, 1), 6)[:3])] == value


def make_affine(rng):
    affine = np.diag([1.0, 1, 1, 1])
    affine[:3, :3] = np.array([[0, 0, -2.0], [0, -1.5, 0], [3.0, 0, 0]])
    affine[:3, 3] = rng.integers(-50, 50, 3)
    return affine


def test_an_impossible_orientation_is_refused():
    with pytest.raises(ValueError, match="one of R/L"):
        reoriented(np.zeros((2, 2, 2)), np.eye(4), "RLS")


@pytest.mark.parametrize("orientation", ["LPS", "RAS", "SAR", "ILP"])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_nifti_file_is_the_phantom_again(tmp_path, orientation, suffix):
    phantom = make_phantom(2, SMALL)
    path = tmp_path / f"scan{suffix}"
    save_nifti(phantom, path, orientation)
    image = nibabel.load(path)
    assert "".join(nibabel.aff2axcodes(image.affine)) == orientation
    assert image.get_data_dtype() == np.int16
    assert image.header["qform_code"] == image.header["sform_code"] == 1
    processor = grid()
    direct, read = processor.prepare(phantom.ct_volume()), processor.prepare(path)
    assert np.array_equal(direct.hu, read.hu)
    assert np.allclose(direct.affine, read.affine, atol=1e-3)
    save_nifti(phantom, tmp_path / f"again{suffix}", orientation)
    assert path.read_bytes() == (tmp_path / f"again{suffix}").read_bytes()


@pytest.mark.parametrize("orientation", ["IPL", "IAR"])
def test_an_npz_file_is_the_phantom_again(tmp_path, orientation):
    phantom = make_phantom(2, SMALL)
    save_npz(phantom, tmp_path / "scan.npz", orientation)
    stored = np.load(tmp_path / "scan.npz")
    assert stored["ct"].shape == SMALL
    if orientation == "IPL":
        assert np.array_equal(stored["ct"][::-1], phantom.volume)
    volume = open_volume(tmp_path / "scan.npz", orientation=orientation)
    assert np.allclose(volume.spacing, phantom.spacing)
    processor = grid()
    assert np.array_equal(
        processor.prepare(tmp_path / "scan.npz", orientation=orientation).hu, processor.prepare(phantom.ct_volume()).hu
    )


def test_voxels_of_rad_chestct_need_no_spacing_in_the_file(tmp_path):
    save_npz(make_phantom(2, (8, 8, 8), spacing=(0.8, 0.8, 0.8)), tmp_path / "scan.npz")
    assert np.load(tmp_path / "scan.npz").files == ["ct"]
    assert open_volume(tmp_path / "scan.npz").spacing == (0.8, 0.8, 0.8)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_the_ct_rate_reader_reads_the_tree_as_it_is(tree, split):
    scans = read_ct_rate(tree, split)
    assert len({scan.patient for scan in scans}) == PATIENTS[split]
    assert all(scan.findings and scan.impression and scan.technique for scan in scans)
    assert all(volume.path.is_file() and not volume.reading for scan in scans for volume in scan.volumes)
    processor = grid()
    for volume in scans[0].volumes:
        assert processor.prepare(volume.path).hu.max() > 0


def test_there_are_follow_ups_and_second_reconstructions(tree):
    scans = [scan for split in PATIENTS for scan in read_ct_rate(tree, split)]
    assert {len(scan.volumes) for scan in scans} == {1, 2}
    assert len(scans) > len({scan.patient for scan in scans})
    two = next(scan for scan in scans if len(scan.volumes) == 2)
    first, second = (open_volume(volume.path).voxels().astype(int) for volume in two.volumes)
    assert 0 < np.median(np.abs(first - second)) < 20


def test_original_volumes_become_the_fixed_ones_by_their_metadata(tree):
    fixed, original = (read_ct_rate(tree, "train", volumes=which) for which in ("fixed", "original"))
    assert {volume.reading["rescale"][1] for scan in original for volume in scan.volumes} == {-1024, -8192}
    processor = grid()
    for one, other in zip(fixed[:3], original[:3], strict=True):
        same = processor.prepare(other.volumes[0].path, **other.volumes[0].reading).hu
        assert np.array_equal(processor.prepare(one.volumes[0].path).hu, same)


def test_tables_have_the_columns_of_ct_rate(tree):
    dataset = tree / "dataset"
    labels = table(dataset / "multi_abnormality_labels" / "valid_predicted_labels.csv")
    assert [*labels[0]] == ["VolumeName", *CT_RATE_LABELS]
    metadata = table(dataset / "metadata" / "validation_metadata.csv")
    assert [row["VolumeName"] for row in metadata] == [row["VolumeName"] for row in labels]
    for row in metadata:
        image = nibabel.load(next(dataset.glob(f"valid_fixed/*/*/{row['VolumeName']}")))
        assert json.loads(row["XYSpacing"]) == pytest.approx(image.header.get_zooms()[:2], rel=1e-4)
        assert float(row["ZSpacing"]) == pytest.approx(image.header.get_zooms()[2], rel=1e-4)
        assert int(row["NumberofSlices"]) == image.shape[2]
    assert {row["PatientSex"] for row in metadata} <= {"F", "M"}
    reports = table(dataset / "radiology_text_reports" / "validation_reports.csv")
    assert [*reports[0]][1:] == ["ClinicalInformation_EN", "Technique_EN", "Findings_EN", "Impressions_EN"]


def test_questions_are_read_and_answered_by_the_labels(tree):
    labels = {volume.name: scan.present for scan in read_ct_rate(tree, "train") for volume in scan.volumes}
    conversations = read_vqa(questions_file(tree, "train"))
    assert {one.kind for one in conversations} == {"free_response", "multiple_choice", "report_generation"}
    for one in conversations:
        ((question, answer),) = one.turns
        if one.kind == "multiple_choice":
            _, options = split_options(question)
            assert [option for option in options if option in labels[one.volume]] == [answer[4:]]
        if one.kind == "free_response":
            asked = [label for label in CT_RATE_LABELS if label.lower() in question.lower()]
            assert (answer == "Yes.") == (max(asked, key=len) in labels[one.volume])


def test_a_folder_is_gone_on_with_and_what_is_there_is_kept(tmp_path):
    arguments = {"shape": (6, 8, 8), "seed": 3}
    folder = write_ct_rate_tree(tmp_path / "tree", {"train": 3}, **arguments)
    files = sorted(folder.rglob("*.nii.gz"))
    before = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in files}
    files[1].unlink()
    write_ct_rate_tree(folder, {"train": 3}, **arguments)
    assert sorted(folder.rglob("*.nii.gz")) == files
    assert all(file.read_bytes() == before[file][0] for file in files)
    assert [file for file in files if file.stat().st_mtime_ns != before[file][1]] == [files[1]]
    assert not list(folder.rglob("*.partial"))


def test_another_call_does_not_mix_with_what_is_there(tmp_path):
    folder = write_ct_rate_tree(tmp_path / "tree", {"train": 1}, shape=(6, 8, 8))
    with pytest.raises(FileExistsError, match="other settings"):
        write_ct_rate_tree(folder, {"train": 2}, shape=(6, 8, 8))
    with pytest.raises(FileExistsError, match="other files"):
        write_ct_rate_tree(tmp_path, {"train": 1}, shape=(6, 8, 8))


def test_the_number_of_processes_changes_nothing(tmp_path):
    one = write_ct_rate_tree(tmp_path / "one", {"train": 2}, shape=(6, 8, 8))
    two = write_ct_rate_tree(tmp_path / "two", {"train": 2}, shape=(6, 8, 8), workers=2)
    for file in (file for file in one.rglob("*") if file.is_file()):
        assert file.read_bytes() == (two / file.relative_to(one)).read_bytes()


def test_the_rad_chestct_reader_reads_the_tree_as_it_is(tmp_path):
    counts = {"train": 12, "test": 3}
    folder = write_rad_chestct_tree(tmp_path / "rad", counts, shape=(8, 12, 12), seed=1)
    for split, count in counts.items():
        scans = read_rad_chestct(folder, split)
        assert len(scans) == count
        for scan in scans:
            present = {*scan.present}
            assert "Mosaic attenuation pattern" not in present
            assert ("Arterial wall calcification" in present) == ("Coronary artery wall calcification" in present)
            assert grid().prepare(scan.volumes[0].path, **scan.volumes[0].reading).hu.max() > 0


def test_locations_of_rad_chestct():
    chest = draw_chest(1, (300, 512, 512), labels=CT_RATE_LABELS)
    columns = label_columns(chest.findings)
    there = {column.split("*")[0] for column, value in columns.items() if value}
    assert {column.split("*")[0] for column in columns} >= RAD_CHESTCT_TO_CT_RATE.keys()
    for label, abnormalities in CT_RATE_TO_RAD_CHESTCT.items():
        assert label == "Mosaic attenuation pattern" or there & {*abnormalities}
    consolidation = next(finding for finding in chest.findings if finding.label == "Consolidation")
    side, lobe = consolidation.places[0]
    assert columns[
        f"consolidation*{side}_{ {'upper lobe': 'upper', 'middle lobe': 'mid', 'lower lobe': 'lower'}[lobe] }"
    ]


@pytest.mark.parametrize("write", [write_ct_rate_tree, write_rad_chestct_tree])
def test_an_unknown_split_is_refused(tmp_path, write):
    with pytest.raises(ValueError, match="no split dev"):
        write(tmp_path / "new", {"dev": 1})

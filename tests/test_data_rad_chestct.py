"""RAD-ChestCT's layout is read, its 84 abnormalities become the 18, its orientations are passed on."""

import numpy as np
import pytest

from dataset_trees import RadChestCTTree, labels
from med3d_r1.abnormalities import CT_RATE_LABELS, CT_RATE_TO_RAD_CHESTCT, RAD_CHESTCT_TO_CT_RATE
from med3d_r1.data.rad_chestct import read_rad_chestct
from med3d_r1.data.scans import DatasetError, DataWarning
from med3d_r1.image_processing_med3d_r1 import Med3DR1ImageProcessor
from scans import synthetic_chest


@pytest.fixture
def tree(tmp_path):
    tree = RadChestCTTree(tmp_path)
    tree.add("tst00002", "emphysema*right", "clip*left", "stent*right", patient="mrn7")
    tree.add("tst00001", "calcification*left", "mass*left", patient="mrn7")
    tree.add("tst00003")
    return tree


def test_scans_are_those_of_the_label_table(tree):
    scans = read_rad_chestct(tree.write())
    assert [(scan.name, scan.patient, scan.dataset, scan.split) for scan in scans] == [
        ("tst00002", "mrn7", "RAD-ChestCT", "test"),
        ("tst00001", "mrn7", "RAD-ChestCT", "test"),
        ("tst00003", "mrn1", "RAD-ChestCT", "test"),
    ]
    assert all(scan.volumes[0].path.is_file() and scan.volumes[0].name == f"{scan.name}.npz" for scan in scans)
    assert all(scan.report is None for scan in scans)


def test_an_abnormality_is_there_if_it_is_anywhere(tree):
    emphysema, calcified, normal = read_rad_chestct(tree.write())
    assert emphysema.labels == tuple(labels("Medical material", "Emphysema"))
    assert calcified.labels == tuple(labels("Arterial wall calcification", "Coronary artery wall calcification"))
    assert normal.labels == (0,) * 18


@pytest.mark.parametrize("column", RAD_CHESTCT_TO_CT_RATE)
def test_each_column_makes_its_labels_true(tmp_path, column):
    tree = RadChestCTTree(tmp_path, "train")
    tree.add("trn00001", f"{column}*right")
    [scan] = read_rad_chestct(tree.write(), "train")
    assert scan.labels == tuple(labels(*RAD_CHESTCT_TO_CT_RATE[column]))


def test_twins_are_equal_and_mosaic_attenuation_is_never_there(tmp_path):
    tree = RadChestCTTree(tmp_path)
    rng = np.random.default_rng(0)
    for index in range(40):
        tree.add(f"tst{index:05}", *rng.choice(tree.COLUMNS, rng.integers(12)))
    table = np.array([scan.labels for scan in read_rad_chestct(tree.write())])
    one, other, mosaic = (
        table[:, CT_RATE_LABELS.index(label)]
        for label in (
            "Arterial wall calcification",
            "Coronary artery wall calcification",
            "Mosaic attenuation pattern",
        )
    )
    assert (one == other).all()
    assert 0 < one.mean() < 1
    assert not mosaic.any()
    assert not CT_RATE_TO_RAD_CHESTCT["Mosaic attenuation pattern"]


class TestOrientation:
    @pytest.mark.parametrize(
        ("cosines", "reading"),
        [
            ("1,0,0,0,1,0", {}),
            ("1.00000, -0.00000, 0.00000, 0.00000, 1.00000, 0.00000", {}),
            ("['0.999', '0.03', '0', '-0.03', '0.999', '0']", {}),
            ("-1,0,0,0,-1,0", {"orientation": "IAR"}),
            ("1,0,0,0,-1,0", {"orientation": "IAL"}),
        ],
    )
    def test_of_the_image_axes(self, tmp_path, cosines, reading):
        tree = RadChestCTTree(tmp_path)
        tree.add("tst00001", orientation=cosines)
        [scan] = read_rad_chestct(tree.write())
        assert scan.volumes[0].reading == reading

    @pytest.mark.parametrize("cosines", ["", "1,0,0", "0,0,0,0,1,0", "0,1,0,0,0,-1"])
    def test_that_cannot_be_understood(self, tmp_path, cosines):
        tree = RadChestCTTree(tmp_path)
        tree.add("tst00001", orientation=cosines)
        with pytest.raises(DatasetError, match=r"orientations cannot be understood \(1\): tst00001"):
            read_rad_chestct(tree.write())

    def test_brings_every_patient_to_the_same_place(self, tmp_path):
        """A chest as the data set stores it, and the same one lying on the belly: rows and columns run backwards."""
        tree = RadChestCTTree(tmp_path)
        voxels = synthetic_chest((96, 96, 96), spacing=(0.8, 0.8, 0.8)).voxels()[::-1]  # slice 0 is the head's
        np.savez_compressed(tree.add("tst00001"), ct=voxels)
        np.savez_compressed(tree.add("tst00002", orientation="-1,0,0,0,-1,0"), ct=voxels[:, ::-1, ::-1])
        processor = Med3DR1ImageProcessor(hu_guard="off")
        with pytest.warns(UserWarning, match="fills"):
            back, belly = (
                processor.prepare(scan.volumes[0].path, **scan.volumes[0].reading)
                for scan in read_rad_chestct(tree.write())
            )
        assert np.array_equal(back.hu, belly.hu)

    def test_is_taken_as_usual_without_the_metadata_table(self, tree):
        tree.write()
        tree.metadata_path.unlink()
        with pytest.warns(DataWarning, match="on their back"):
            scans = read_rad_chestct(tree.folder)
        assert [(scan.patient, scan.volumes[0].reading) for scan in scans[:1]] == [("tst00002", {})]


class TestFaults:
    def test_are_told_all_at_once(self, tree):
        (tree.folder / "volumes/tst00002.npz").unlink()
        (tree.folder / "tst00001.npz").touch()
        del tree.metadata[2]
        with pytest.raises(DatasetError) as caught:
            read_rad_chestct(tree.write())
        assert caught.value.faults == {
            "volumes are missing": ["tst00002"],
            "volumes are there more than once": ["tst00001"],
            "CT_Scan_Metadata_Complete_35747.csv has no row for them": ["tst00003"],
        }

    def test_are_left_out_with_a_warning_on_request(self, tree):
        tree.labels[0]["clip*left"] = ""
        with pytest.warns(DataWarning, match=r"neither 0 nor 1 \(1\): tst00002"):
            scans = read_rad_chestct(tree.write(), on_fault="skip")
        assert [scan.name for scan in scans] == ["tst00001", "tst00003"]

    def test_missing_abnormalities(self, tree):
        for row in tree.labels:
            for place in ("left", "right"):
                del row[f"hernia*{place}"]
        with pytest.raises(DatasetError, match=r"abnormalities are missing \(1\): hernia"):
            read_rad_chestct(tree.write())

    def test_missing_table(self, tree):
        tree.write()
        with pytest.raises(DatasetError, match=r"imgtrain_Abnormality_and_Location_Labels\.csv"):
            read_rad_chestct(tree.folder, "train")

    def test_unknown_split(self, tree):
        with pytest.raises(ValueError, match="train, validation, test"):
            read_rad_chestct(tree.write(), "all")

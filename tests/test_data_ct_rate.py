"""CT-RATE's layout is read, and what is wrong with a copy of it is told at once."""

import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_trees import CTRateTree, labels
from med3d_r1.abnormalities import CT_RATE_LABELS
from med3d_r1.data.ct_rate import questions_file, read_ct_rate, read_labels, volume_name
from med3d_r1.data.scans import DatasetError, DataWarning, Scan, Volume, split_by_patient
from med3d_r1.image_processing_med3d_r1 import Med3DR1ImageProcessor
from med3d_r1.volume_med3d_r1 import CTVolume, VolumeError
from scans import synthetic_chest, write_nifti


@pytest.fixture
def tree(tmp_path):
    """Two scans of one patient, of which one has two reconstructions, and one of another."""
    tree = CTRateTree(tmp_path)
    tree.add("valid_2_a_1", "Emphysema", findings="There is emphysema.", impression="Not given.")
    for name in ("valid_10_a_1", "valid_10_a_2"):
        tree.add(name, "Lung nodule", "Atelectasis", findings="A nodule.", impression="Nodule.")
    tree.add("valid_10_b_1", findings="Normal, so far.\nNothing else.", impression="not given")
    return tree


def test_reconstructions_share_a_scan_and_scans_are_in_order(tree):
    scans = read_ct_rate(tree.write(), "validation")
    assert [scan.name for scan in scans] == ["valid_2_a", "valid_10_a", "valid_10_b"]
    assert [scan.patient for scan in scans] == ["valid_2", "valid_10", "valid_10"]
    assert [volume.name for volume in scans[1].volumes] == ["valid_10_a_1.nii.gz", "valid_10_a_2.nii.gz"]
    assert all(volume.path.is_file() and not volume.reading for scan in scans for volume in scan.volumes)


def test_labels_and_sections(tree):
    emphysema, nodule, normal = read_ct_rate(tree.write(), "validation")
    assert nodule.labels == tuple(labels("Lung nodule", "Atelectasis"))
    assert nodule.present == ("Atelectasis", "Lung nodule")
    assert (nodule.findings, nodule.impression, nodule.report) == ("A nodule.", "Nodule.", "A nodule.\nNodule.")
    assert (emphysema.impression, emphysema.report) == ("", "There is emphysema.")
    assert (normal.clinical_information, normal.technique) == ("", "Without contrast.")
    assert normal.findings == "Normal, so far.\nNothing else."
    assert normal.present == ()


def test_the_folder_may_be_the_dataset_folder_itself(tree):
    tree.write()
    assert read_ct_rate(tree.folder / "dataset", "validation") == read_ct_rate(tree.folder, "validation")


def test_a_split_has_two_names(tree):
    assert read_ct_rate(tree.write(), "valid") == read_ct_rate(tree.folder, "validation")


def test_train_has_its_own_names(tmp_path):
    tree = CTRateTree(tmp_path, "train")
    tree.add("train_1_a_1")
    [scan] = read_ct_rate(tree.write())
    assert (scan.split, scan.volumes[0].path.parts[-4]) == ("train", "train_fixed")
    assert questions_file(tmp_path, "train").name == "train_vqa.json"


def test_names_may_come_without_their_suffix(tree):
    for row in tree.labels:
        row["VolumeName"] = row["VolumeName"].removesuffix(".nii.gz")
    assert len(read_ct_rate(tree.write(), "validation")) == 3


def test_an_alias_is_a_label(tree):
    tree.write()
    text = tree.labels_path.read_text().replace("Medical material", "External medical device")
    tree.labels_path.write_text(text)
    assert read_ct_rate(tree.folder, "validation")[0].labels == tuple(labels("Emphysema"))


class TestOriginals:
    @pytest.fixture
    def originals(self, tmp_path):
        """The same chest twice: as it was stored, 1024 above HU, and fixed."""
        chest = synthetic_chest((36, 48, 48))
        shifted = CTVolume("stored", chest.shape, chest.affine, lambda: (block + 1024 for block in chest.blocks()))
        for volumes, volume in (("_fixed", chest), ("", shifted)):
            tree = CTRateTree(tmp_path, volumes=volumes)
            write_nifti(tree.add("valid_1_a_1"), volume)
        return tree

    def test_carry_their_rescale_to_the_image_processor(self, originals):
        [fixed] = read_ct_rate(originals.write(), "validation")
        [original] = read_ct_rate(originals.folder, "validation", volumes="original")
        assert fixed.volumes[0].reading == {}
        assert original.volumes[0].reading == {"rescale": (1.0, -1024.0)}
        processor = Med3DR1ImageProcessor()
        seen = [processor.prepare(v.path, **v.reading).hu for v in (fixed.volumes[0], original.volumes[0])]
        assert np.array_equal(*seen)

    @pytest.mark.parametrize("volumes", ["fixed", "original"])
    def test_the_wrong_rescale_is_refused_by_the_guard(self, originals, volumes):
        [scan] = read_ct_rate(originals.write(), "validation", volumes=volumes)
        wrong = {"rescale": (1.0, -1024.0)} if volumes == "fixed" else {}
        with pytest.raises(VolumeError, match="rescale"):
            Med3DR1ImageProcessor().prepare(scan.volumes[0].path, **wrong)

    def test_without_their_metadata_are_refused(self, originals):
        originals.metadata[0]["RescaleIntercept"] = ""
        with pytest.raises(DatasetError, match=r"no rescale slope.*valid_1_a_1"):
            read_ct_rate(originals.write(), "validation", volumes="original")


class TestFaults:
    def test_are_told_all_at_once(self, tree):
        tree.volume("valid_2_a_1").unlink()
        tree.volume("valid_10_a_2").unlink()
        tree.labels.append(tree.labels[0])
        tree.labels[3]["Emphysema"] = "2"
        with pytest.raises(DatasetError) as caught:
            read_ct_rate(tree.write(), "validation")
        text = str(caught.value)
        assert "volumes are missing in valid_fixed (2): valid_2_a_1.nii.gz, valid_10_a_2.nii.gz" in text
        assert "valid_predicted_labels.csv has more than one row of the same name (1): valid_2_a_1.nii.gz" in text
        assert "neither 0 nor 1 (1): valid_10_b_1.nii.gz" in text
        assert "on_fault='skip'" in text

    def test_many_are_counted_and_a_few_named(self, tmp_path):
        tree = CTRateTree(tmp_path)
        for patient in range(1, 31):
            tree.add(f"valid_{patient}_a_1").unlink()
        with pytest.raises(DatasetError, match=r"\(30\): valid_1_a_1.*valid_10_a_1.nii.gz and 20 more") as caught:
            read_ct_rate(tree.write(), "validation")
        [missing] = caught.value.faults.values()
        assert len(missing) == 30
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)

    def test_are_left_out_with_a_warning_on_request(self, tree):
        tree.volume("valid_2_a_1").unlink()
        tree.volume("valid_10_a_1").unlink()
        with pytest.warns(DataWarning, match=r"left out, volumes are missing.*\(2\)"):
            scans = read_ct_rate(tree.write(), "validation", on_fault="skip")
        assert [[volume.name for volume in scan.volumes] for scan in scans] == [
            ["valid_10_a_2.nii.gz"],
            ["valid_10_b_1.nii.gz"],
        ]

    def test_reconstructions_must_agree(self, tree):
        tree.reports[2]["Findings_EN"] = "Something else."
        tree.labels[2]["Emphysema"] = 1
        with pytest.raises(DatasetError, match=r"different labels \(1\): valid_10_a\n.*different reports \(1\)"):
            read_ct_rate(tree.write(), "validation")

    def test_volumes_of_another_split(self, tree):
        tree.labels.append(tree.labels[0] | {"VolumeName": "train_1_a_1.nii.gz"})
        with pytest.raises(DatasetError, match=r"not of the form valid_1_a_1 \(1\): train_1_a_1"):
            read_ct_rate(tree.write(), "validation")

    def test_a_broken_row(self, tree):
        tree.write()
        with tree.reports_path.open("a") as file:
            file.write("valid_11_a_1.nii.gz,only two\n")
        with pytest.raises(DatasetError, match=r"rows of validation_reports.csv are broken \(1\): valid_11_a_1"):
            read_ct_rate(tree.folder, "validation")

    @pytest.mark.parametrize("path", ["labels_path", "reports_path"])
    def test_missing_tables(self, tree, path):
        tree.write()
        getattr(tree, path).unlink()
        with pytest.raises(DatasetError, match=getattr(tree, path).name):
            read_ct_rate(tree.folder, "validation")

    def test_an_empty_table(self, tree):
        tree.write()
        tree.labels_path.write_text(tree.labels_path.read_text().splitlines()[0] + "\n")
        with pytest.raises(DatasetError, match="rows are missing"):
            read_ct_rate(tree.folder, "validation")

    @pytest.mark.parametrize(
        ("damage", "told"),
        [
            (b"valid_11_a_1.nii.gz,,,caf\xe9,\r\n", "'utf-8' codec can't decode byte 0xe9"),
            (b'valid_11_a_1.nii.gz,,,"never closed' + b" word" * 40_000, "field larger than field limit"),
        ],
    )
    def test_a_table_that_is_no_text_or_no_csv(self, tree, damage, told):
        tree.write()
        with tree.reports_path.open("ab") as file:
            file.write(damage)
        with pytest.raises(DatasetError, match=rf"(?s)validation_reports.csv .* the text cannot be read .*{told}"):
            read_ct_rate(tree.folder, "validation")

    def test_a_missing_folder(self, tmp_path):
        with pytest.raises(DatasetError, match="nowhere"):
            read_ct_rate(tmp_path / "nowhere")

    def test_a_missing_column(self, tree):
        for row in tree.reports:
            del row["Impressions_EN"]
        with pytest.raises(DatasetError, match=r"columns are missing \(1\): Impressions_EN"):
            read_ct_rate(tree.write(), "validation")

    @pytest.mark.parametrize(
        "arguments",
        [{"split": "test"}, {"volumes": "fix"}, {"on_fault": "ignore"}, {"labels": False, "reports": False}],
    )
    def test_arguments(self, tree, arguments):
        with pytest.raises(ValueError, match=r"validation|fixed|skip|read at least one"):
            read_ct_rate(tree.write(), **{"split": "validation", **arguments})


class TestLabelColumns:
    def change(self, tree, change):
        tree.write()
        header, *rows = tree.labels_path.read_text().splitlines()
        tree.labels_path.write_text("\n".join([",".join(change(header.split(","))), *rows]) + "\n")
        return tree.folder

    def test_in_another_order_are_refused(self, tree):
        folder = self.change(tree, lambda header: [header[0], header[2], header[1], *header[3:]])
        with pytest.raises(
            DatasetError, match=r"not in the official order \(2\): Arterial wall calcification, Medical"
        ):
            read_ct_rate(folder, "validation")

    def test_with_a_wrong_name_are_refused(self, tree):
        folder = self.change(tree, lambda header: [*header[:-1], "Pneumothorax"])
        with pytest.raises(DatasetError, match=r"(?s)missing \(1\): Interlobular.*no labels \(1\): Pneumothorax"):
            read_ct_rate(folder, "validation")

    def test_that_are_double_are_refused(self, tree):
        folder = self.change(tree, lambda header: [*header[:-1], header[1]])
        with pytest.raises(DatasetError, match=r"more than one column \(1\): Medical material"):
            read_ct_rate(folder, "validation")


class TestIncomplete:
    def test_scans_without_labels_or_report_are_kept_with_a_warning(self, tree):
        del tree.labels[0]
        del tree.reports[3]
        with pytest.warns(DataWarning) as caught:
            scans = read_ct_rate(tree.write(), "validation")
        assert [str(warning.message).split(": ")[1] for warning in caught] == [
            "1 of 3 scans have no labels",
            "1 of 3 scans have no report",
        ]
        assert [(scan.labels is None, scan.report is None) for scan in scans] == [
            (True, False),
            (False, False),
            (False, True),
        ]

    def test_a_table_may_be_left_aside(self, tree):
        tree.write()
        tree.reports_path.unlink()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            scans = read_ct_rate(tree.folder, "validation", reports=False)
        assert [scan.report for scan in scans] == [None] * 3

    def test_volumes_that_show_no_chest_are_left_out(self, tree):
        listed = tree.write() / "dataset/metadata/no_chest_valid.txt"
        listed.write_text("valid/valid_2/valid_2_a/valid_2_a_1.nii.gz\n\nvalid_10_b_1\n")
        assert [scan.name for scan in read_ct_rate(tree.folder, "validation")] == ["valid_10_a"]


def test_label_tables_are_read_by_themselves(tree):
    tree.write()
    table = read_labels(tree.labels_path)
    assert table["valid_10_a_2.nii.gz"] == tuple(labels("Lung nodule", "Atelectasis"))
    assert list(read_labels(tree.labels_path, one_per_scan=True)) == [
        "valid_2_a_1.nii.gz",
        "valid_10_a_1.nii.gz",
        "valid_10_b_1.nii.gz",
    ]
    assert len(table) == 4


@pytest.mark.parametrize("name", ["train_1_a_1", "train_1_a_1.nii", "train_1_a_1.nii.gz", "x/train_1_a_1.nii.gz\n"])
def test_names_of_volumes_are_brought_to_one_form(name):
    assert volume_name(name) == "train_1_a_1.nii.gz"


def scans_of(patients):
    return [
        Scan("CT-RATE", "train", f"train_{patient}", f"train_{patient}_{letter}", (Volume("v", None),))
        for patient in range(patients)
        for letter in "ab"
    ]


class TestPatients:
    @given(st.integers(0, 60), st.floats(0, 1), st.integers(0, 3), st.randoms())
    def test_are_in_one_part_only_whatever_the_order(self, patients, share, seed, random):
        scans = scans_of(patients)
        chosen, rest = split_by_patient(scans, share=share, seed=seed)
        assert not {scan.patient for scan in chosen} & {scan.patient for scan in rest}
        assert len(chosen) + len(rest) == len(scans)
        assert len({scan.patient for scan in chosen}) == int(share * patients + 1e-9)
        shuffled = random.sample(scans, len(scans))
        again, _ = split_by_patient(shuffled, share=share, seed=seed)
        assert {scan.name for scan in again} == {scan.name for scan in chosen}

    def test_five_per_cent_of_ct_rate_are_1065(self):
        scans = scans_of(21_304)
        chosen, _ = split_by_patient(scans, share=0.05)
        assert len({scan.patient for scan in chosen}) == 1065
        assert chosen == split_by_patient(scans, count=1065)[0]

    def test_a_smaller_share_is_a_part_of_a_larger_one_and_another_seed_is_another_choice(self):
        scans = scans_of(200)
        names = [
            {scan.name for scan in split_by_patient(scans, share=share, seed=seed)[0]}
            for share, seed in ((0.1, 0), (0.2, 0), (0.1, 1))
        ]
        assert names[0] < names[1]
        assert names[0] != names[2]

    @pytest.mark.parametrize("arguments", [{}, {"share": 0.5, "count": 3}, {"share": 1.5}, {"count": 4}])
    def test_bad_arguments(self, arguments):
        with pytest.raises(ValueError, match=r"share|patients"):
            split_by_patient(scans_of(3), **arguments)


def test_a_scan_without_labels_has_none_present():
    assert Scan("CT-RATE", "train", "p", "s", (Volume("v", None),)).present == ()
    assert len(CT_RATE_LABELS) == len(labels())

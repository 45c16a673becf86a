"""The image processor from outside: whatever form a scan has, the model sees the same."""

import json
import pickle
import warnings

import numpy as np
import pytest
import torch
from transformers import AutoImageProcessor

from med3d_r1.image_processing_med3d_r1 import Med3DR1ImageProcessor
from med3d_r1.prepared_med3d_r1 import PreparedVolume, describe
from med3d_r1.volume_med3d_r1 import CTVolume, VolumeError, VolumeWarning, orientation_affine
from volume_files import write_dicom_series, write_nifti

SPACING = (2.0, 0.7, 0.8)
EXTENT = ".*(axial slice|the scan is .* mm long|the scan fills)"
TEN_KNOTS = (
    *((-960, 0.08), (-780, 0.28), (-450, 0.46), (-120, 0.52), (0, 0.60)),
    *((80, 0.68), (220, 0.76), (700, 0.88), (1100, 0.95), (3000, 1.0)),
)


def chest(seed: int = 0, shape=(20, 40, 36)) -> np.ndarray:
    """HU in which no two directions look alike: noise around lung in front of and soft tissue behind."""
    hu = np.random.default_rng(seed).normal(-850, 60, shape)
    hu[:, shape[1] // 2 :] += 900
    return np.rint(hu).clip(-1024).astype(np.int16)  # what unsigned voxels with an intercept of -1024 can hold


@pytest.fixture
def processor():
    """Half of the scan's extent, on a grid of 6 x 12 x 10 voxels."""
    return Med3DR1ImageProcessor(spacing=(3.0, 1.5, 1.5), field_size=(8, 16, 14), size=(6, 12, 10))


@pytest.fixture(autouse=True)
def _only_expected_warnings():
    """The scans of these tests are small, which is warned of rightly and in a test of its own."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", EXTENT, VolumeWarning)
        yield


def test_the_defaults_are_those_of_the_release():
    scan = chest(shape=(30, 60, 60))
    result = Med3DR1ImageProcessor()(images=scan, spacing=(3.0, 2.0, 2.0), return_tensors="pt")
    assert list(result) == ["pixel_values"]
    pixel_values = result["pixel_values"]
    assert pixel_values.shape == (1, 1, 112, 224, 224)
    assert pixel_values.dtype == torch.float32
    assert pixel_values[0, 0, 0, 0, 0].item() == pytest.approx((-1 - 0.4978) / 0.2449)  # air around the scan
    # 30 slices lie on 41..70 of 112 (missing 98 of the field's 128: 49 before, of which 8 are cut again).
    assert torch.nonzero((pixel_values[0, 0] > -6).any((1, 2))).squeeze().tolist() == list(range(41, 71))


def test_the_window_by_hand():
    """Constant voxels of known HU through ten knots and the normalisation (v - 0.5) / 0.25."""
    processor = Med3DR1ImageProcessor((1, 1, 1), (1, 2, 8), (1, 2, 8), TEN_KNOTS, mean=0.5, std=0.25)
    hu = np.array([-1024, -960, -870, 0, 40, 900, 3000, 5000], dtype=np.int16)
    values = np.array([0.08, 0.08, 0.18, 0.60, 0.64, 0.915, 1.0, 1.0])
    scan = np.broadcast_to(hu, (1, 2, 8))
    tensor = processor(images=scan, spacing=(1, 1, 1), hu_guard="off", return_tensors="pt")["pixel_values"]
    assert tensor[0, 0, 0, 0].numpy() == pytest.approx((values - 0.5) / 0.25, abs=1e-6)


def forms(folder, scan: np.ndarray) -> dict:
    """One anatomy in all the forms in which scans are kept."""
    affine = orientation_affine("SPL", SPACING)
    ras = np.diag([0.8, 0.7, 2.0, 1.0])  # of (i, j, k) = (right, front, up)
    lps = np.diag([-0.8, -0.7, 2.0, 1.0])
    write_dicom_series(folder / "series", scan, SPACING)
    np.save(folder / "scan.npy", scan)
    return {
        "nifti": write_nifti(folder / "lps.nii.gz", scan, lps),
        "turned nifti": write_nifti(folder / "ras.nii", np.ascontiguousarray(scan[:, ::-1, ::-1]), ras),
        "scaled nifti": write_nifti(folder / "scaled.nii.gz", scan + np.int16(1024), lps, slope=1.0, intercept=-1024.0),
        "dicom": folder / "series",
        "slices": sorted((folder / "series").iterdir()),
        "array": {"array": scan, "spacing": SPACING},
        "upside down": {"array": scan[::-1], "spacing": SPACING, "orientation": "IPL"},
        "sagittal": {"array": scan.transpose(2, 0, 1), "affine": affine[:, [2, 0, 1, 3]]},
        "tensor": {"image": torch.from_numpy(scan), "spacing": SPACING},
        "float": {"array": scan.astype(np.float32)[None], "spacing": SPACING},
        "volume": CTVolume("scan", scan.shape, affine, lambda: iter([scan])),
    }


def test_every_form_of_a_scan_gives_the_same_tensor(processor, tmp_path):
    scan = chest()
    expected = processor(images=scan, spacing=SPACING, return_tensors="pt")["pixel_values"]
    assert expected.std() > 1
    for name, source in forms(tmp_path, scan).items():
        result = processor(images=[source], return_tensors="pt")["pixel_values"]
        assert torch.equal(result, expected), name


def test_a_stored_scan_gives_the_same_tensor(processor, tmp_path):
    prepared = processor.prepare(chest(), spacing=SPACING)
    prepared.save(tmp_path / "scan.npz")
    expected = processor.to_tensor(prepared)
    assert expected.shape == (1, 6, 12, 10)
    for source in (prepared, tmp_path / "scan.npz", PreparedVolume.load(tmp_path / "scan.npz")):
        assert torch.equal(processor(images=source, return_tensors="pt")["pixel_values"][0], expected)


def test_lists_of_scans(processor, tmp_path):
    files = [write_nifti(tmp_path / f"{seed}.nii.gz", chest(seed)) for seed in range(3)]
    slices = [str(path) for path in write_dicom_series(tmp_path / "series", chest(3))]
    one, two, three = (processor(images=file, return_tensors="pt")["pixel_values"] for file in files)
    four = processor(images=tmp_path / "series", return_tensors="pt")["pixel_values"]

    def batch(images):
        return processor(images=images, return_tensors="pt")["pixel_values"]

    assert torch.equal(batch(files), torch.cat([one, two, three]))
    assert torch.equal(batch([[files[0]], [files[1], files[2]]]), torch.cat([one, two, three]))
    assert torch.equal(batch((str(files[0]), [slices])), torch.cat([one, four]))
    assert torch.equal(batch([slices]), four)
    assert torch.equal(batch([[slices], [files[2]]]), torch.cat([four, three]))


def test_kinds_of_results(processor):
    scans = [chest(0), chest(1)]
    as_list = processor(images=scans, spacing=SPACING)["pixel_values"]
    as_tensor = processor(images=scans, spacing=SPACING, return_tensors="pt")["pixel_values"]
    as_array = processor(images=scans, spacing=SPACING, return_tensors="np")["pixel_values"]
    assert [volume.shape for volume in as_list] == [(1, 6, 12, 10)] * 2
    assert torch.equal(torch.stack(as_list), as_tensor)
    assert as_array.dtype == np.float32
    assert np.array_equal(as_array, as_tensor.numpy())


def test_no_scan_is_no_batch(processor):
    with pytest.raises(ValueError, match="no scan"):
        processor(images=[])


def test_model_input_is_no_scan(processor):
    ready = processor(images=chest(), spacing=SPACING, return_tensors="pt")["pixel_values"]
    with pytest.raises(VolumeError, match="to the model itself"):
        processor(images=ready)


def test_paths_are_not_fetched_as_pictures(processor):
    images = ["scan.nii.gz", ["a.dcm", "b.dcm"]]
    assert processor.fetch_images(images) is images


# The grid and the record


def test_the_affine_leads_back_to_the_scan(processor):
    """The one bright voxel is found where it was."""
    scan = chest()
    scan[11, 22, 13] = 30000
    affine = orientation_affine("SPL", SPACING)
    affine[:3, 3] = (12.0, -7.0, 100.0)
    prepared = processor.prepare(scan, affine=affine)
    brightest = np.unravel_index(prepared.hu.argmax(), prepared.hu.shape)
    found, true = prepared.affine @ (*brightest, 1), affine @ (11, 22, 13, 1)
    assert np.abs(found - true)[:3].max() <= 1.5  # half of the largest step


def test_the_record_accounts_for_every_millimetre(processor):
    """20 slices of 2 mm -> 13 of 40 / 13 mm; the model sees 6: first = ceil(5 / 2) + 1 = 4, so 4 and 3 are cut."""
    record = processor.prepare(chest(), spacing=SPACING).record
    assert record["resampling"] == pytest.approx([20 / 13, 40 / 19, 36 / 19])
    assert record["cropped_mm"]["inferior"] == pytest.approx(4 * 40 / 13)
    assert record["cropped_mm"]["superior"] == pytest.approx(3 * 40 / 13)
    assert record["padded_mm"] == dict.fromkeys(record["padded_mm"], 0)
    for first, last, extent, seen in (
        ("inferior", "superior", 40.0, 6 * 40 / 13),
        ("anterior", "posterior", 28.0, 12 * 28 / 19),
        ("right", "left", 28.8, 10 * 28.8 / 19),
    ):
        assert record["cropped_mm"][first] + seen + record["cropped_mm"][last] == pytest.approx(extent)
    assert record["source_shape"] == [20, 40, 36]
    assert record["source_orientation"] == "SPL"
    assert (record["hu_min"], record["hu_max"]) == (chest().min(), chest().max())
    assert json.loads(json.dumps(record)) == record


def test_the_record_names_the_sides_that_were_padded():
    processor = Med3DR1ImageProcessor((2.0, 1.0, 1.0), (24, 50, 51), (24, 50, 51))
    prepared = processor.prepare(chest(), spacing=(2.0, 1.0, 1.0))
    assert prepared.record["padded_mm"] == {
        "inferior": 4.0, "superior": 4.0, "anterior": 5.0, "posterior": 5.0, "right": 7.0, "left": 8.0,
    }  # fmt: skip
    assert "air added       inferior 4 mm, superior 4 mm, anterior 5 mm" in describe(prepared)


def test_margins_leave_room_for_shifts():
    wide = Med3DR1ImageProcessor((3.0, 1.5, 1.5), (12, 18, 18), (6, 12, 10), margin=(2, 1, 3))
    prepared = wide.prepare(chest(), spacing=SPACING)
    assert prepared.hu.shape == (10, 14, 16)
    centre = wide.to_tensor(prepared)
    shifted = wide.to_tensor(prepared, shift=(1, -1, 3))
    assert torch.equal(shifted[:, :5, 1:, :7], centre[:, 1:, :-1, 3:])
    narrow = Med3DR1ImageProcessor((3.0, 1.5, 1.5), (12, 18, 18), (6, 12, 10))
    assert torch.equal(centre, narrow.to_tensor(narrow.prepare(chest(), spacing=SPACING)))
    with pytest.raises(ValueError, match="beyond the margin"):
        wide.to_tensor(prepared, shift=(0, 2, 0))


def test_an_oblique_scan_is_turned_and_says_so(processor):
    affine = orientation_affine("SPL", SPACING)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(0.2), -np.sin(0.2)], [np.sin(0.2), np.cos(0.2)]]
    prepared = processor.prepare(chest(), affine=turn @ affine)
    assert prepared.record["tilt_degrees"] == pytest.approx(np.degrees(0.2))
    assert prepared.record["notes"] == ["turned by 11.5 degrees onto the body's axes"]
    assert prepared.affine[:3, :3] == pytest.approx(orientation_affine("SPL", (3.0, 1.5, 1.5))[:3, :3])


@pytest.mark.parametrize(
    "other",
    [
        {"spacing": (2.5, 1.5, 1.5)},
        {"antialias": False},
        {"margin": (1, 0, 0)},
        {"size": (6, 12, 8)},
        {"field_size": (9, 16, 14)},
    ],
)
def test_a_scan_prepared_otherwise_is_refused(processor, other):
    foreign = Med3DR1ImageProcessor(
        **{"spacing": (3.0, 1.5, 1.5), "field_size": (8, 16, 14), "size": (6, 12, 10), **other}
    )
    prepared = foreign.prepare(chest(), spacing=SPACING)
    for use in (processor.prepare, processor.to_tensor):
        with pytest.raises(VolumeError, match="this processor's settings") as refusal:
            use(prepared)
        assert str(foreign.preprocessing) in str(refusal.value)
        assert str(processor.preprocessing) in str(refusal.value)


def test_window_and_guard_are_not_part_of_a_prepared_scan(processor):
    prepared = processor.prepare(chest(), spacing=SPACING)
    other = Med3DR1ImageProcessor.from_dict(processor.to_dict(), window=TEN_KNOTS, mean=0.5, hu_guard="off")
    assert other.prepare(prepared) is prepared


# HU


def test_numbers_that_are_no_hounsfield_units(processor):
    raw = chest() + 1024
    with pytest.raises(VolumeError, match="not to have been applied"):
        processor(images=raw, spacing=SPACING)
    with pytest.warns(VolumeWarning, match="not to have been applied"):
        prepared = processor.prepare(raw, spacing=SPACING, hu_guard="warn")
    assert "not to have been applied" in prepared.record["warnings"][0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", EXTENT, VolumeWarning)
        processor.prepare(raw, spacing=SPACING, hu_guard="off")
        Med3DR1ImageProcessor.from_dict(processor.to_dict(), hu_guard="off").prepare(raw, spacing=SPACING)


@pytest.mark.parametrize("rescale", [(1, -1024), (2.0, 10.5)])
def test_rescale_turns_stored_values_into_hounsfield_units(processor, rescale):
    scan = chest().astype(np.float32)
    stored = (scan - rescale[1]) / rescale[0]
    prepared = processor.prepare(stored, spacing=SPACING, rescale=rescale)
    assert np.array_equal(prepared.hu, processor.prepare(scan, spacing=SPACING).hu)
    assert prepared.record["notes"] == [f"values were rescaled: {rescale[0]:g} x value + {rescale[1]:g}"]


@pytest.mark.parametrize("rescale", [(1,), (0, -1024), (1, float("nan"))])
def test_a_rescale_that_makes_no_sense(processor, rescale):
    with pytest.raises(ValueError, match="slope"):
        processor.prepare(chest(), spacing=SPACING, rescale=rescale)


def test_a_rescale_comes_too_late_for_a_prepared_scan(processor):
    with pytest.raises(ValueError, match="prepared already"):
        processor.prepare(processor.prepare(chest(), spacing=SPACING), rescale=(1, -1024))


def test_an_unknown_guard_mode(processor):
    with pytest.raises(ValueError, match="refuse, warn, off"):
        processor.prepare(chest(), spacing=SPACING, hu_guard="maybe")


@pytest.mark.parametrize(
    ("shape", "spacing", "words"),
    [
        ((1, 40, 40), (5.0, 1.0, 1.0), "1 axial slice, 5 mm"),
        ((15, 40, 40), (2.0, 1.0, 1.0), "15 axial slices, 30 mm"),
        ((40, 100, 100), (1.0, 0.1, 0.1), "fills"),
        ((20, 40, 40), (10.1, 1.0, 1.0), "10.1 mm apart"),
        ((16, 120, 40), (2.0, 9.0, 1.0), "1080 mm wide"),
        ((60, 40, 40), (3.0, 1.0, 1.0), "180 mm long, the model sees the middle 60 mm"),
    ],
)
def test_extents_that_a_person_should_look_at(shape, spacing, words):
    processor = Med3DR1ImageProcessor((3.0, 1.5, 1.5), (20, 40, 40), (20, 40, 40))
    with pytest.warns(VolumeWarning, match=words):
        prepared = processor.prepare(chest(shape=shape), spacing=spacing)
    assert any(words in sentence for sentence in prepared.record["warnings"])


def test_an_ordinary_scan_gives_no_warning():
    processor = Med3DR1ImageProcessor((3.0, 1.5, 1.5), (20, 40, 40), (20, 40, 40))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert processor.prepare(chest(), spacing=(3.0, 1.5, 1.5)).record["warnings"] == []


# Settings


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"size": (129, 224, 224)}, "along D the model would see 129"),
        ({"margin": (0, 17, 0)}, "along H the model would see 224 voxels and a margin of 17"),
        ({"margin": (0, 0, -1)}, "margin"),
        ({"size": (112, 224)}, "three"),
        ({"size": (112.5, 224, 224)}, "size"),
        ({"spacing": (0, 1.5, 1.5)}, "positive"),
        ({"window": ((0, 1),)}, "knots"),
        ({"window": ((0, 1), (0, 2))}, "growing HU"),
        ({"std": 0}, "std"),
        ({"hu_guard": "on"}, "hu_guard"),
    ],
)
def test_settings_that_contradict_themselves(settings, words):
    with pytest.raises(ValueError, match=words):
        Med3DR1ImageProcessor(**settings)


@pytest.fixture
def changed():
    """No setting has its default value."""
    return Med3DR1ImageProcessor(
        spacing=[10.5, 5.25, 5.25],
        field_size=[34, 66, 66],
        size=[32, 64, 64],
        window=[list(knot) for knot in TEN_KNOTS],
        mean=0.5,
        std=0.25,
        antialias=False,
        margin=[1, 0, 1],
        hu_guard="warn",
        max_bytes=1 << 30,
    )


def test_settings_survive_saving(changed, tmp_path):
    changed.save_pretrained(tmp_path)
    loaded = Med3DR1ImageProcessor.from_pretrained(tmp_path)
    assert loaded.size == (32, 64, 64)
    assert loaded.window[-1] == (3000.0, 1.0)
    assert loaded.preprocessing == changed.preprocessing
    settings, reloaded = changed.to_dict(), loaded.to_dict()
    assert {key: reloaded[key] for key in settings} == settings
    assert Med3DR1ImageProcessor.from_dict(changed.to_dict()).to_dict() == changed.to_dict()
    assert Med3DR1ImageProcessor.from_pretrained(tmp_path, margin=[0, 1, 1]).margin == (0, 1, 1)
    with pytest.raises(ValueError, match="along D"):
        Med3DR1ImageProcessor.from_pretrained(tmp_path, margin=(2, 0, 0))


def test_it_travels_to_worker_processes(changed):
    assert pickle.loads(pickle.dumps(changed)).to_dict() == changed.to_dict()


def test_a_saved_folder_loads_with_its_own_code(changed, tmp_path):
    """As from the Hub: the folder holds every file that the code needs, and no torchvision is asked for."""
    changed.save_pretrained(tmp_path)
    loaded = AutoImageProcessor.from_pretrained(tmp_path, trust_remote_code=True)
    assert type(loaded).__module__.startswith("transformers_modules.")
    assert loaded.preprocessing == changed.preprocessing
    scan = CTVolume("scan", (20, 40, 36), orientation_affine("SPL", SPACING), lambda: iter([chest()]))
    ours = changed.prepare(scan)
    assert torch.equal(loaded(images=scan, return_tensors="pt")["pixel_values"][0], changed.to_tensor(ours))
    assert torch.equal(loaded.to_tensor(ours), changed.to_tensor(ours))
    assert loaded.prepare(ours) is ours

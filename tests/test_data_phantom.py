"""Synthetic chests: the same bits for the same seed, every abnormality at its density and place, and nothing else."""

import warnings
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from med3d_r1.abnormalities import CT_RATE_LABELS
from med3d_r1.checkpoints import IMAGE_PROCESSORS
from med3d_r1.data.phantom import make_phantom
from med3d_r1.data.phantom.body import draw_body
from med3d_r1.data.phantom.canvas import Canvas, Waves
from med3d_r1.data.phantom.chest import draw_chest
from med3d_r1.data.phantom.findings import FINDINGS
from med3d_r1.data.phantom.montage import montage
from med3d_r1.data.phantom.trees import LOBAR_AIRWAYS, lobar_trees, vessel_trees
from med3d_r1.hu_guard_med3d_r1 import examine
from med3d_r1.image_processing_med3d_r1 import Med3DR1ImageProcessor
from med3d_r1.volume_med3d_r1 import VolumeWarning, orientation_codes

FINE = (80, 136, 136)  # about 3.8 x 2.6 x 2.6 mm

# Label -> (low, high): what the middle of the most changed voxels must have become, in HU. Where a finding has walls
# and air, the band is what a voxel of either may have.
DENSITIES = {
    "Medical material": (700, 3071),
    "Arterial wall calcification": (300, 1200),
    "Cardiomegaly": (0, 240),
    "Pericardial effusion": (-20, 35),
    "Coronary artery wall calcification": (300, 1200),
    "Hiatal hernia": (-1024, 60),
    "Lymphadenopathy": (20, 70),
    "Emphysema": (-1010, -920),
    "Atelectasis": (0, 80),
    "Lung nodule": (-560, 520),
    "Lung opacity": (-650, -400),
    "Pulmonary fibrotic sequela": (-200, 60),
    "Pleural effusion": (-10, 30),
    "Mosaic attenuation pattern": (-1000, -620),
    "Peribronchial thickening": (-250, 80),
    "Consolidation": (0, 80),
    "Bronchiectasis": (-1024, 80),
    "Interlobular septal thickening": (-700, -150),
}


@cache
def healthy(seed, shape):
    return make_phantom(seed, shape, labels=[]).volume


def changed(label, seed, shape=FINE):
    """A chest with one abnormality, and by how much its voxels differ from those of the same chest without it."""
    phantom = make_phantom(seed, shape, labels=[label])
    return phantom, np.abs(phantom.volume.astype(np.int32) - healthy(seed, shape))


def test_the_same_seed_gives_the_same_bits_whatever_the_global_state():
    np.random.seed(1)
    first = make_phantom(11)
    np.random.seed(2)
    np.random.random(100)
    second = make_phantom(11)
    assert np.array_equal(first.volume, second.volume)
    assert first.report == second.report
    assert first.labels == second.labels
    assert np.array_equal(first.affine, second.affine)


def test_another_seed_gives_another_patient():
    assert not np.array_equal(make_phantom(1).volume, make_phantom(2).volume)


def test_a_phantom_says_how_it_lies():
    phantom = make_phantom(3, (20, 30, 40))
    assert phantom.volume.shape == (20, 30, 40)
    assert phantom.volume.dtype == np.int16
    assert orientation_codes(phantom.affine) == "SPL"
    assert np.allclose(np.linalg.norm(phantom.affine[:3, :3], axis=0), phantom.spacing)
    assert 290 < 20 * phantom.spacing[0] < 320
    assert 325 <= 30 * phantom.spacing[1] == pytest.approx(40 * phantom.spacing[2], abs=0.01)


def test_spans_are_those_of_the_abnormal_sentences_of_its_report():
    phantom = make_phantom(3, (8, 8, 8), labels=["Emphysema"])
    assert {*phantom.spans} == {"findings", "impression"}
    for section, spans in phantom.spans.items():
        text = getattr(phantom.report, section)
        told = [
            sentence.text for sentence in phantom.report.sentences if sentence.section == section and sentence.abnormal
        ]
        assert [text[start:end] for start, end in spans] == told != []


def test_a_given_spacing_is_used():
    phantom = make_phantom(3, (32, 64, 64), spacing=(9, 5, 5.5))
    assert phantom.spacing == (9, 5, 5.5)


def test_the_slabs_of_a_large_scan_fit_together(monkeypatch):
    whole = make_phantom(7, (30, 64, 64)).volume
    monkeypatch.setattr("med3d_r1.data.phantom.chest.SLAB_VOXELS", 7 * 64 * 64)
    assert np.abs(make_phantom(7, (30, 64, 64)).volume.astype(int) - whole).max() <= 1  # the last bit of a rounding


@pytest.mark.parametrize("label", CT_RATE_LABELS)
def test_an_abnormality_has_its_density_and_leaves_the_rest_alone(label):
    low, high = DENSITIES[label]
    phantom, change = changed(label, 5)
    core = change > 0.7 * np.percentile(change[change > 50], 90)
    assert low <= np.median(phantom.volume[core]) <= high
    assert 10 < core.sum() < 0.12 * core.size
    assert (change == 0).mean() > 0.5  # noise included


@pytest.mark.parametrize("label", ["Hiatal hernia", "Bronchiectasis"])
def test_what_holds_air_has_a_wall_and_air(label):
    phantom, change = changed(label, 5)
    values = phantom.volume[change > 80]
    assert (values < -850).mean() > 0.08
    assert (values > -250).mean() > 0.08


@pytest.mark.parametrize("label", ["Lung nodule", "Atelectasis", "Pleural effusion", "Consolidation", "Lung opacity"])
def test_sides_are_where_they_are_said_to_be(label):
    shape = (32, 64, 64)
    for seed in range(8):
        phantom, change = changed(label, seed, shape)
        where = change > 50
        right = where[..., :32].sum() / where.sum()  # columns grow to the patient's left
        assert {"right": right > 0.9, "left": right < 0.1, "both": 0.02 < right < 0.98}[phantom.findings[0].side]


@pytest.mark.parametrize("kind", FINDINGS.values(), ids=FINDINGS)
def test_sides_and_severities_vary(kind):
    body = draw_body(np.random.default_rng(0))
    drawn = [kind.draw(np.random.default_rng(seed), body, 1.0) for seed in range(150)]
    severities = [finding.severity for finding in drawn]
    assert min(severities) < 0.1
    assert max(severities) > 0.9
    counts = [sum(finding.side == side for finding in drawn) for side in ("right", "left")]
    assert sum(counts) == 0 or min(counts) > 0.5 * sum(counts) - 3 * np.sqrt(sum(counts) / 4) - 0.1 * sum(counts)
    if finding_kinds := {finding.kind for finding in drawn} - {""}:
        assert len(finding_kinds) > 1


def test_coarse_grids_get_larger_findings_and_fine_ones_true_sizes():
    body = draw_body(np.random.default_rng(0))
    kind = FINDINGS["Lung nodule"]
    fine, coarse = (kind.draw(np.random.default_rng(4), body, voxel) for voxel in (0.7, 6.5))
    assert fine.severity == coarse.severity
    assert fine.size_mm < 30 < coarse.size_mm


def test_labels_are_what_was_asked_for():
    assert make_phantom(1, labels=[]).findings == ()
    wanted = ["Emphysema", "Cardiomegaly"]
    assert [label for label, there in draw_chest(1, labels=wanted).labels.items() if there] == [
        "Cardiomegaly",
        "Emphysema",
    ]
    drawn = draw_chest(1).labels
    some = draw_chest(1, labels={"Emphysema": not drawn["Emphysema"]}).labels
    assert some == drawn | {"Emphysema": not drawn["Emphysema"]}
    assert all(draw_chest(1, prevalence=1.0).labels.values())
    assert draw_chest(1, prevalence=dict.fromkeys(CT_RATE_LABELS, 0.0)).findings == ()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"labels": ["Cough"]}, "no such abnormality: Cough"),
        ({"prevalence": {"Cough": 0.5}}, "no such abnormality: Cough"),
        ({"shape": (4, 4)}, "three voxel counts"),
        ({"spacing": (1, 0, 1)}, "three numbers of millimetres"),
        ({"style": "long"}, "free, plain"),
    ],
)
def test_impossible_wishes_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        make_phantom(0, **arguments)


def test_follow_ups_share_the_body_and_reconstructions_all_but_noise():
    first, second = draw_chest(1, patient=50), draw_chest(2, patient=50)
    assert first.body.scale == second.body.scale
    assert first.body.seed == second.body.seed
    sharp, soft = make_phantom(1, reconstruction=1), make_phantom(1, reconstruction=2)
    assert sharp.labels == soft.labels
    assert sharp.report == soft.report
    assert np.array_equal(sharp.affine, soft.affine)
    difference = sharp.volume.astype(float) - soft.volume
    assert 0 < np.median(np.abs(difference)) < 20


@pytest.mark.parametrize("seed", range(4))
def test_phantoms_pass_for_hu(seed):
    for labels in ([], CT_RATE_LABELS):
        volume = make_phantom(seed, labels=labels).volume
        values = volume.astype(np.float32).ravel()
        assert examine(values, values.min(), values.max()) is None


@pytest.mark.parametrize(
    ("shape", "settings", "seeds"), [((32, 64, 64), IMAGE_PROCESSORS["tiny"], (0, 1, 2)), ((104, 200, 200), {}, (3,))]
)
def test_the_image_processor_has_nothing_to_say(shape, settings, seeds):
    processor = Med3DR1ImageProcessor(**settings)
    for seed in seeds:
        with warnings.catch_warnings():
            warnings.simplefilter("error", VolumeWarning)
            prepared = processor.prepare(make_phantom(seed, shape).ct_volume())
        assert prepared.record["notes"] == []
        assert processor.to_tensor(prepared).shape == (1, *processor.size)


def test_trees_reach_every_lobe_and_do_not_depend_on_the_heart():
    body = draw_chest(3).body
    larger = FINDINGS["Cardiomegaly"].draw(np.random.default_rng(0), body, 1.0).change(body)
    assert larger.heart_size > body.heart_size
    assert lobar_trees(body, 3).keys() == LOBAR_AIRWAYS.keys()
    for tree, same in zip(lobar_trees(body, 3).values(), lobar_trees(larger, 3).values(), strict=True):
        assert len(tree) > 1
        assert all(np.array_equal(tube.end, twin.end) for tube, twin in zip(tree, same, strict=True))
    radii = [tube.radius for tube in vessel_trees(body, 40)]
    assert max(radii) == 6.5
    assert min(radii) == pytest.approx(6.5 * (1 / 40) ** (1 / 2.7))  # Murray's law, after 40 ends have parted


def canvas(shape=(24, 30, 36), step=2.0):
    """An empty canvas around the origin."""
    _, height, width = shape
    z, y, x = (np.float32(step * (np.arange(length) - (length - 1) / 2)) for length in shape)
    rows, columns = np.meshgrid(-y, -x, indexing="ij")
    pixels = ((0, -1 / step, (height - 1) / 2), (-1 / step, 0, (width - 1) / 2))
    empty = np.zeros(shape, np.float32)
    return Canvas(empty, np.ones_like(empty), columns, rows, z[:, None, None], pixels, step, step)


@given(
    centre=st.tuples(*[st.floats(-12, 12)] * 3),
    radius=st.floats(0.6, 12),
)
def test_a_ball_keeps_its_mass_wherever_it_lies_between_the_voxels(centre, radius):
    page = canvas()
    page.ball(centre, radius, 100.0)
    mass = page.hu.sum() * 8 / 100
    volume = 4 / 3 * np.pi * radius**3
    assert 0.3 * volume < mass < 2.2 * volume + 1
    if radius > 5:
        assert mass == pytest.approx(volume, rel=0.15)


def test_a_part_is_a_view_of_the_voxels_in_its_box():
    page = canvas()
    part = page.part((-4, -4, -4), (4, 4, 4))
    assert np.abs(part.x).max() <= 6
    assert np.abs(part.z).max() <= 6
    part.hu += 1
    assert page.hu.sum() == part.hu.size == 6**3  # -5, -3, ... 5 within 4 and an edge of 2
    assert page.part((100, 0, 0), (110, 5, 5)) is None


def test_filling_changes_lung_only():
    page = canvas()
    page.lung[:, :, :18] = 0
    page.fill(np.full(page.hu.shape, 50.0), -500.0)
    assert (page.hu[:, :, :18] == 0).all()
    assert (page.hu[:, :, 18:] == -500).all()


def test_a_field_of_waves_has_spread_one_and_is_the_same_on_a_part():
    waves = Waves.draw(np.random.default_rng(0), 15.0, count=16)
    page = canvas((60, 60, 60))
    field = page.field(waves)
    assert abs(field.mean()) < 0.1
    assert field.std() == pytest.approx(1, abs=0.1)
    part = page.part((-10, -10, -10), (10, 10, 10))
    assert np.abs(part.field(waves) - field[24:36, 24:36, 24:36]).max() < 1e-4


@pytest.mark.parametrize("label", CT_RATE_LABELS)
def test_on_the_tiny_grid_every_abnormality_leaves_a_trace(label):
    for seed in range(100, 106):
        _, change = changed(label, seed, (32, 64, 64))
        assert (change > 60).sum() >= 25


@pytest.mark.slow
def test_a_linear_probe_of_coarse_statistics_finds_most_abnormalities_on_the_tiny_grid():
    """Ridge regression on mean, largest, smallest and spread of cells of 4 x 4 x 4 voxels, after the tiny model's
    window. 2,400 chests give .93; a vision transformer with 2 layers and 64 channels .92."""
    knots, values = np.array(IMAGE_PROCESSORS["tiny"]["window"]).T
    learnt, count = 1000, 1300
    features, truth = [], []
    for seed in range(count):
        phantom = make_phantom(seed)
        cells = np.interp(phantom.volume, knots, values).reshape(8, 4, 16, 4, 16, 4).transpose(0, 2, 4, 1, 3, 5)
        cells = cells.reshape(-1, 64)
        features.append(np.concatenate([cells.mean(1), cells.max(1), cells.min(1), cells.std(1)]).astype(np.float32))
        truth.append([*phantom.labels.values()])
    features, truth = np.array(features), np.array(truth)
    features = (features - features[:learnt].mean(0)) / (features[:learnt].std(0) + 0.01)
    kernel = features @ features[:learnt].T / features.shape[1]
    weights = np.linalg.solve(kernel[:learnt] + 0.3 * np.eye(learnt), truth[:learnt] - truth[:learnt].mean(0))
    areas = [
        area_under(scores, there) for scores, there in zip((kernel @ weights)[learnt:].T, truth[learnt:].T, strict=True)
    ]
    assert np.mean(areas) > 0.85
    assert min(areas) > 0.55


def area_under(scores, there):
    return (scores[there][:, None] > scores[~there][None]).mean()


def test_the_picture_has_a_pair_of_panels_for_each_abnormality():
    picture = np.asarray(montage((12, 20, 20), columns=6))
    rows, columns = 3, 6
    height, width = picture.shape[0] // rows, (picture.shape[1] + 8) // columns
    for number in range(18):
        row, column = divmod(number, columns)
        pair = picture[row * height + 22 : (row + 1) * height - 8, column * width : column * width + 520]
        left, right = pair[:, :256], pair[:, 264:]
        assert left.std() > 10
        assert not np.array_equal(left, right)

"""Nothing but the abnormality itself may tell that it is there.

What severity explains is defined by a twin: the same seed with no abnormality at all. A chest and its twin share body,
scanner and noise, so that whatever differs between them is the work of the findings. So a statistic may depend on a
label only through that difference: on twins, no statistic and no combination of them may tell the labels, which were
drawn beside them.
"""

from functools import cache

import numpy as np
import pytest

from med3d_r1.abnormalities import CT_RATE_LABELS
from med3d_r1.data.phantom import make_phantom
from med3d_r1.data.phantom.chest import PREVALENCE, draw_chest
from med3d_r1.data.phantom.files import save_nifti

CHESTS, TWINS = 1500, 120


def auroc(scores, truth):
    """The share of (present, absent) pairs that the scores put in order, and its standard error by chance."""
    ranks = scores.argsort().argsort() + 1.0
    there, rest = truth.sum(), (~truth).sum()
    area = (ranks[truth].sum() - there * (there + 1) / 2) / (there * rest)
    return area, np.sqrt((there + rest + 1) / (12 * there * rest))


def probed(statistics, truth, folds=5):
    """Scores of a least squares probe (n, d) -> (n,), each fold's from the others."""
    standard = (statistics - statistics.mean(axis=0)) / (statistics.std(axis=0) + 1e-9)
    inputs = np.column_stack([standard, standard**2, np.ones(len(standard))])
    scores = np.empty(len(truth))
    for fold in range(folds):
        held = np.arange(len(truth)) % folds == fold
        scale = inputs[~held].T @ inputs[~held] + 0.1 * np.eye(inputs.shape[1])
        scores[held] = inputs[held] @ np.linalg.solve(scale, inputs[~held].T @ truth[~held].astype(float))
    return scores


def nuisances(chest):
    """All that is known of a chest before it is painted, besides its findings."""
    body, scanner = chest.body, chest.scanner
    return [
        chest.seed, *scanner.spacing, *scanner.offset, *scanner.isocentre, scanner.roll, scanner.kernel, scanner.noise,
        scanner.table, body.woman, *body.scale, *body.chest, body.fat, body.muscle, body.lung_hu, body.lung_slope,
        body.blood_hu, body.heart_size, *body.heart_shift, body.aorta_radius, *body.domes, body.kyphosis,
        *body.fissures, len(body.incidentals),
    ]  # fmt: skip


@cache
def drawn():
    chests = [draw_chest(seed) for seed in range(CHESTS)]
    truth = np.array([[*chest.labels.values()] for chest in chests])
    return np.array([nuisances(chest) for chest in chests], dtype=float), truth


@cache
def measured(tmp_folder):
    """(statistics of the chest, statistics of its twin, labels): mean, spread and percentiles of HU, and file size."""
    rows, twins, truth = [], [], []
    for seed in range(TWINS):
        phantom, twin = make_phantom(seed), make_phantom(seed, labels=[])
        for phantom_or_twin, where in ((phantom, rows), (twin, twins)):
            hu = phantom_or_twin.volume.astype(np.float32)
            save_nifti(phantom_or_twin, tmp_folder / "scan.nii.gz")
            size = (tmp_folder / "scan.nii.gz").stat().st_size
            where.append([hu.mean(), hu.std(), *np.percentile(hu, (10, 50, 90)), size])
        truth.append([*phantom.labels.values()])
    return np.array(rows), np.array(twins), np.array(truth)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("scans")


def test_labels_are_as_frequent_as_they_should_be_and_independent_of_each_other():
    _, truth = drawn()
    for there, prevalence in zip(truth.T, PREVALENCE.values(), strict=True):
        assert abs(there.mean() - prevalence) < 4 * np.sqrt(prevalence * (1 - prevalence) / CHESTS)
    correlations = np.corrcoef(truth.T)[np.triu_indices(18, 1)]
    assert np.abs(correlations).max() < 4.5 / np.sqrt(CHESTS)


@pytest.mark.parametrize("label", CT_RATE_LABELS)
def test_a_linear_probe_finds_no_label_in_body_scanner_and_seed(label):
    statistics, truth = drawn()
    there = truth[:, CT_RATE_LABELS.index(label)]
    area, error = auroc(probed(statistics, there), there)
    assert abs(area - 0.5) < 4 * error
    for statistic in statistics.T:
        area, error = auroc(statistic + 1e-9 * np.arange(len(there)), there)
        assert abs(area - 0.5) < 5 * error


def test_a_linear_probe_finds_no_label_in_the_voxel_statistics_of_twins(folder):
    _, twins, truth = measured(folder)
    areas = []
    for there in truth.T:
        area, error = auroc(probed(twins, there), there)
        areas.append(area)
        assert abs(area - 0.5) < 4 * error
    assert abs(np.mean(areas) - 0.5) < 0.05


def test_what_the_findings_change_is_explained_by_their_severity(folder):
    """Mean HU: fluid instead of lung raises it, the more of it the more."""
    rows, twins, truth = measured(folder)
    change = rows[:, 0] - twins[:, 0]
    assert np.abs(change[~truth.any(axis=1)]).max(initial=0) == 0
    severity = {
        seed: finding.severity
        for seed in range(TWINS)
        for finding in draw_chest(seed).findings
        if finding.label == "Pleural effusion"
    }
    effect = [
        make_phantom(seed, labels=["Pleural effusion"]).volume.mean() - make_phantom(seed, labels=[]).volume.mean()
        for seed in [*severity][:30]
    ]
    assert np.min(effect) > 0
    assert np.corrcoef([*severity.values()][:30], effect)[0, 1] > 0.7

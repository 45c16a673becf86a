"""The engine: a scan is encoded once, and its answers are those of the package."""

import gradio as gr
import pytest

import limits
from endpoints import Endpoints, checked, last, parse_options
from engine import Engine
from med3d_r1.abnormalities import CT_RATE_LABELS
from med3d_r1.inference import Diagnosis, EncodedScan, Report, diagnose, encode_scan
from scans import synthetic_chest, write_nifti
from tiny import tiny_checkpoint

OPTIONS = ["Emphysema", "Atelectasis"]


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    return Engine(str(tiny_checkpoint(tmp_path_factory.mktemp("engine") / "model")))


@pytest.fixture(autouse=True)
def short_answers(monkeypatch):
    monkeypatch.setattr(limits, "MAX_NEW_TOKENS", 4)


@pytest.fixture(scope="module")
def prepared(engine):
    return engine.image_processor.prepare(synthetic_chest((40, 56, 56)))


def test_a_prepared_scan_is_encoded_first_and_an_encoded_one_is_not(engine, prepared):
    encoded, *texts, diagnosis = engine.diagnose(prepared, "Which?", OPTIONS, True, 0.0)
    assert isinstance(encoded, EncodedScan)
    assert all(isinstance(text, str) for text in texts)
    again = list(engine.diagnose(encoded, "Which?", OPTIONS, True, 0.0))
    assert not any(isinstance(news, EncodedScan) for news in again)
    expected = diagnose(
        engine.model, engine.processor, encode_scan(engine.model, engine.processor, prepared), "Which?", OPTIONS,
        max_new_tokens=4,
    )  # fmt: skip
    assert diagnosis.to_dict() == again[-1].to_dict() == expected.to_dict()


def test_a_report_ends_with_the_report(engine, prepared):
    assert isinstance(last(engine.report(prepared)), Report)


def test_the_bound_on_voxels_is_the_readers(engine):
    assert engine.image_processor.max_bytes == limits.MAX_VOXEL_BYTES


def test_a_model_that_is_not_there_is_named():
    with pytest.raises(FileNotFoundError, match=r"no/such: no such folder, and no repository with the revision v1"):
        Engine("no/such", "v1")


def test_a_folder_has_no_revision(tmp_path):
    with pytest.raises(ValueError, match=r": a folder has no revision v1"):
        Engine(str(tmp_path), "v1")


@pytest.mark.parametrize(
    ("text", "options"),
    [("", list(CT_RATE_LABELS)), (" \n", list(CT_RATE_LABELS)), ("-", None), (" Mass \n\nCyst", ["Mass", "Cyst"])],
)
def test_options_come_one_a_line(text, options):
    assert parse_options(text) == options


@pytest.mark.parametrize(
    ("question", "options", "message"),
    [(" ", OPTIONS, "empty"), ("Which?", ["Mass"], "2 to 26"), ("Which?", ["Mass", "mass"], "alike")],
)
def test_what_cannot_be_asked_is_said_before_anything_is_read(engine, question, options, message):
    with pytest.raises(gr.Error, match=message):
        checked(question, options)
    with pytest.raises(gr.Error, match=message):
        Endpoints(engine).diagnose("no such file", question, "\n".join(options))


def test_an_endpoint_leaves_nothing_behind(engine, tmp_path):
    folder = tmp_path / "upload"
    folder.mkdir()
    write_nifti(folder / "scan.nii", synthetic_chest((40, 56, 56)))
    found = Endpoints(engine).inspect(str(folder / "scan.nii"))
    assert found["shape"] == [32, 64, 64]
    assert "source" not in found
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(gr.Error, match="No scan was given"):
        Endpoints(engine).report(None)


def test_last_of_a_stream():
    assert last(iter([1, "a", Diagnosis])) is Diagnosis

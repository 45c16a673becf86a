"""Models that read pictures, shown a chest CT in each of the three ways: small random ones, real architectures."""

import pytest
import torch
from PIL import Image

from med3d_r1.evaluation.asking import Question
from med3d_r1.evaluation.pictures_model import PicturesModelPredictor, load_pictures_model
from med3d_r1.evaluation.views import ViewSettings
from med3d_r1.prompts_med3d_r1 import question_messages
from picture_models import ARCHITECTURES, picture_model, save_gemma
from scans import synthetic_chest, write_nifti
from tiny import tiny_processor

OPTIONS = ("Emphysema", "Atelectasis", "Lung nodule", "Hiatal hernia")


@pytest.fixture(scope="module", params=ARCHITECTURES)
def system(request):
    return picture_model(request.param)


@pytest.fixture(scope="module")
def image_processor():
    return tiny_processor().image_processor


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scans")
    asked = []
    for seed in range(2):
        image = write_nifti(folder / f"scan{seed}.nii.gz", synthetic_chest((40, 56, 56), seed=seed))
        asked += [
            Question(str(seed), f"scan{seed}", str(image), question_messages("Seen?", OPTIONS, think=t), OPTIONS, t)
            for t in (True, False)
        ]
    return asked


@pytest.mark.parametrize("strategy", ["montage", "drr", "video"])
def test_many_questions_are_answered_as_one_at_a_time(system, image_processor, questions, strategy, tmp_path):
    settings = ViewSettings(strategy, slices=4, columns=2, pixels=56)
    batched, alone = (
        dict(
            PicturesModelPredictor(
                *system, image_processor, settings, batch_size=size, max_new_tokens=5, pictures=tmp_path
            ).predict(questions)
        )
        for size in (4, 1)
    )
    assert batched == alone
    assert sorted(batched) == [0, 1, 2, 3]
    sheets = {"montage": 1, "drr": 3, "video": 1}[strategy]
    written = sorted(tmp_path.iterdir())
    assert len(written) == 2 * sheets
    assert Image.open(written[0]).getextrema()[0][1] > 200


@pytest.mark.parametrize(("strategy", "pictures"), [("montage", 1), ("drr", 3)])
def test_each_scan_is_shown_with_its_own_question(system, image_processor, questions, strategy, pictures, monkeypatch):
    """Questions on scans 0, 1, 0, 1: the model gets the pictures of 0 twice, and those of 1 are others."""
    model, processor = system
    given = {}
    own = model.generate
    monkeypatch.setattr(model, "generate", lambda **inputs: given.update(inputs) or own(**inputs))
    settings = ViewSettings(strategy, slices=4, columns=2, pixels=56)
    predictor = PicturesModelPredictor(model, processor, image_processor, settings, max_new_tokens=1)
    asked = [questions[place] for place in (0, 2, 0, 2)]
    list(predictor.predict(asked))
    shown = given["pixel_values"].unflatten(0, (4, -1))
    if "image_grid_thw" in given:
        assert len(given["image_grid_thw"]) == 4 * pictures
    else:
        assert shown.shape[1] == pictures
    assert torch.equal(shown[0], shown[2])
    assert torch.equal(shown[1], shown[3])
    assert not torch.equal(shown[0], shown[1])


def test_frames_are_a_video_only_where_the_processor_knows_videos(system, image_processor, questions):
    predictor = PicturesModelPredictor(
        *system, image_processor, ViewSettings("video", slices=6, pixels=56), max_new_tokens=2
    )
    knows = hasattr(system[1], "video_processor")
    list(predictor.predict(questions[:1]))
    assert predictor.describe()["views"]["as_video"] == knows
    if knows:
        assert system[1].video_processor.seen[-1] == 6
    text = predictor._rendered(questions[0], 6)
    assert text.count("<|video_pad|>") == knows
    assert text.count("<start_of_image>") == (0 if knows else 6)
    assert "A) Emphysema" in text
    assert "6 frames are axial slices" in text


def test_the_description_tells_ways_of_showing_apart(system, image_processor):
    described = [
        PicturesModelPredictor(*system, image_processor, ViewSettings(strategy)).describe()
        for strategy in ("montage", "drr", "video")
    ]
    assert len({str(one) for one in described}) == 3
    assert described[0]["kind"].endswith(system[0].config.model_type)


def test_a_model_is_loaded_from_a_folder(image_processor, questions, tmp_path):
    folder = save_gemma(tmp_path / "gemma")
    loaded = PicturesModelPredictor(
        *load_pictures_model(str(folder), "cpu", torch.float32), image_processor, max_new_tokens=3
    )
    made = PicturesModelPredictor(*picture_model("gemma3"), image_processor, max_new_tokens=3)
    assert dict(loaded.predict(questions)) == dict(made.predict(questions))
    assert loaded.describe()["weights_sha256"] == made.describe()["weights_sha256"]


def test_what_is_no_such_model_is_told(tmp_path):
    with pytest.raises(ValueError, match="no processor for pictures and text"):
        load_pictures_model(str(tmp_path), "cpu", torch.float32)


def test_a_missing_library_is_told(monkeypatch):
    def absent(name):
        raise ImportError("Qwen2VLVideoProcessor requires the Torchvision library")

    monkeypatch.setattr("transformers.AutoProcessor.from_pretrained", absent)
    with pytest.raises(ImportError, match=r"^a-model: .* need torchvision, also where only pictures are shown"):
        load_pictures_model("a-model", "cpu", torch.float32)

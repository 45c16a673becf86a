"""The tiny language model: its beginning, what is learnt from a lesson, the drills and the examination."""

import math

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerControl, TrainerState

from med3d_r1.checkpoints import initialize
from med3d_r1.data.phantom.lessons import draw_checklist, draw_lesson, draw_question
from med3d_r1.trainers.language import (
    WINDOW,
    DrillProgress,
    LanguageConfig,
    LanguageTrainer,
    encode_lesson,
    look_back,
    tiny_language_model,
)

LESSON = {
    "notes": ["Emphysema"],
    "messages": [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "A emphysema present"}]},
    ],
    "decisions": [[[12, 19]]],
    "copies": [[[2, 11]]],
}


def make_config(folder, **settings) -> LanguageConfig:
    few = {"drill_questions": 2, "drill_checklists": 1, "per_device_train_batch_size": 2, "lesson_steps": 2}
    return LanguageConfig(str(folder), use_cpu=True, disable_tqdm=True, **{**few, **settings})


def make_trainer(folder, **settings) -> LanguageTrainer:
    model, tokenizer = tiny_language_model(seed=0)
    return LanguageTrainer(
        model=model,
        args=make_config(folder, **settings),
        question_dataset=[draw_question(seed) for seed in range(4)],
        checklist_dataset=[draw_checklist(seed) for seed in range(4, 7)],
        train_dataset=[draw_lesson(seed) for seed in range(7, 11)],
        eval_dataset=[draw_question(seed) for seed in range(20, 23)],
        processing_class=tokenizer,
    )


def test_one_head_starts_out_looking_at_the_token_before():
    """Scores of a query at m and a key at n, from the biases alone, by the definition of rotary positions. By hand:
    strength times the sum over the pairs of cos((n + 1 - m) w), which is strength times their number at n = m - 1."""
    model, _ = tiny_language_model(0)
    look_back(model, strength=2.0)
    attention, rotary = model.model.layers[0].self_attn, model.model.rotary_emb
    width = attention.head_dim
    query, key = (projection.bias[:width].detach() for projection in (attention.q_proj, attention.k_proj))

    def turned(vector: torch.Tensor, place: int) -> torch.Tensor:
        angles = place * rotary.inv_freq
        first, second = vector.chunk(2)
        return torch.cat([first * angles.cos() - second * angles.sin(), second * angles.cos() + first * angles.sin()])

    scores = [float(turned(query, 9) @ turned(key, place)) for place in range(10)]
    assert scores.index(max(scores)) == 8
    assert scores[8] == pytest.approx(2 * width / 2)
    expected = 2 * sum(math.cos(4 * angle) for angle in rotary.inv_freq.tolist())  # n = 4: n + 1 - m = -4
    assert scores[4] == pytest.approx(expected, rel=1e-4)


def test_a_lesson_in_tokens_by_hand():
    """The answer is 'A', ' emphysema', ' present' and the end of the turn; the notes' places are image tokens."""
    _, tokenizer = tiny_language_model(0)
    encoded = encode_lesson(LESSON, tokenizer, ["Atelectasis", "Emphysema"], image_tokens=5)
    tokens = tokenizer.convert_ids_to_tokens(encoded.input_ids)
    assert tokens.count("<|image_pad|>") == 5
    of = {name: [tokens[place] for place in getattr(encoded, name).nonzero()[:, 0].tolist()]
          for name in ("answered", "decided", "copied")}  # fmt: skip
    assert of["copied"] == [" emphysema"]
    assert [token.lstrip("\u0120") for token in of["decided"]] == ["present"]
    assert [token.lstrip("\u0120 ") for token in of["answered"]] == ["A", "emphysema", "present", "<|im_end|>"]
    assert encoded.notes.tolist() == [1]


def test_hard_notes_are_the_names_and_nothing_else(tmp_path):
    trainer = make_trainer(tmp_path)
    words = trainer.model.get_input_embeddings().weight
    present = torch.tensor([trainer.names.index(name) for name in ("Emphysema", "Lung nodule")])
    tokenizer = trainer.processing_class
    blank, *names = (words[tokenizer.convert_tokens_to_ids(token)]
                     for token in ("<|image_pad|>", " emphysema", " lung nodule"))  # fmt: skip
    for _ in range(20):
        notes = trainer._notes(words, present, softness=0.0)
        assert notes.shape == (32, 128)
        kinds = torch.cdist(notes, torch.stack([blank, *names])).min(1)
        assert kinds.values.max() < 1e-3
        assert {*kinds.indices.tolist()} == {0, 1, 2}
    empty = trainer._notes(words, present[:0], softness=0.0)
    torch.testing.assert_close(empty, blank.expand(32, -1))


def test_soft_notes_resemble_what_is_present_and_nothing_that_is_not(tmp_path):
    """The projection on a name's embedding, over its square: at least .3 somewhere for a name in the notes (but for the
    other words, which are nearly orthogonal)."""
    trainer = make_trainer(tmp_path)
    words = trainer.model.get_input_embeddings().weight.detach()
    names = torch.stack([words[ids].mean(0) for ids in trainer._name_ids])
    present = torch.tensor([3, 5])
    torch.manual_seed(0)
    shares = torch.stack([trainer._notes(words, present, softness=1.0) @ names.T for _ in range(50)])
    shares = (shares / names.square().sum(1)).amax(1).mean(0)
    others = [number for number in range(len(names)) if number not in (3, 5)]
    assert shares[present].min() > 2 * shares[others].max()


def test_the_loss_by_hand(tmp_path):
    """In the lessons: sum of weight times negative log-likelihood over the sum of weights, with weight 3 on what is
    decided and copied. With soft_share 0 and one place per note nothing but the places is random."""
    trainer = make_trainer(tmp_path, soft_share=0.0)
    trainer.progress.drill = None
    lessons = trainer.train_dataset[:2]
    torch.manual_seed(3)
    loss = trainer.compute_loss(trainer.model, {"lessons": lessons})
    torch.manual_seed(3)
    words = trainer.model.get_input_embeddings().weight
    notes = [trainer._notes(words, lesson.notes, 0.0) for lesson in lessons]
    total = weights = 0.0
    for lesson, of_lesson in zip(lessons, notes, strict=True):
        embeds = words[lesson.input_ids].clone()
        embeds[lesson.input_ids == trainer._image_token] = of_lesson
        logits = trainer.model(inputs_embeds=embeds[None]).logits[0].log_softmax(-1)
        for place in lesson.answered.nonzero()[:, 0].tolist():
            weight = 3.0 if lesson.decided[place] or lesson.copied[place] else 1.0
            total -= weight * logits[place - 1, lesson.input_ids[place]]
            weights += weight
    torch.testing.assert_close(loss, total / weights)


def step(progress: DrillProgress, number: int, copied: float, decided: float, args) -> TrainerControl:
    progress.add(copied, decided)
    control, state = TrainerControl(), TrainerState()
    state.global_step = number
    progress.on_step_end(args, state, control)
    return control


def test_the_drills_end_by_what_was_learnt(tmp_path):
    """Twenty steps above .9 in copying end the first drill; twenty new ones above .97 in both end the second; lessons
    are as many as were asked for after that."""
    args, progress, number = make_config(tmp_path, lesson_steps=3), DrillProgress(), 0
    for _ in range(WINDOW - 1):
        step(progress, number := number + 1, 1.0, 0.2, args)
        assert progress.drill == "copying"
    step(progress, number := number + 1, 1.0, 0.2, args)
    assert progress.drill == "reading"
    for _ in range(WINDOW):
        step(progress, number := number + 1, 1.0, 0.955, args)
    assert progress.drill == "reading"
    while progress.drill:
        step(progress, number := number + 1, 1.0, 1.0, args)
    # k of the last 20 at 1 and the others at .955: .955 + .045 k / 20 > .97 from k = 7 on
    assert progress.ended == number == 2 * WINDOW + 7
    stops = [step(progress, number + more, 0, 0, args).should_training_stop for more in (1, 2, 3)]
    assert stops == [False, False, True]


def test_progress_goes_into_checkpoints_and_back():
    progress = DrillProgress()
    for share in (0.25, 0.75):
        progress.add(share, 0.5)
    again = DrillProgress.from_state(progress.state())
    assert (again.drill, again.ended, list(again.recent)) == ("copying", None, [(0.25, 0.5), (0.75, 0.5)])


def test_a_model_that_does_not_learn_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"after 3 steps the language model is still copying: 0\.0%"):
        make_trainer(tmp_path, drill_steps=3).train()
    trainer = make_trainer(tmp_path, lesson_steps=1)
    trainer.progress.drill, trainer.progress.ended = None, 0
    with pytest.raises(ValueError, match=r"the language model reads \d+\.\d% of what its notes say, and 95% is needed"):
        trainer.train()


def test_a_run_makes_a_decoder_that_init_takes(tmp_path):
    trainer = make_trainer(tmp_path / "run", required_accuracy=0.0)
    trainer.progress.drill, trainer.progress.ended = None, 0
    before = [weights.detach().clone() for weights in trainer.model.parameters()]
    trainer.train()
    assert trainer.state.global_step == 2
    assert all(not torch.equal(old, new) for old, new in zip(before, trainer.model.parameters(), strict=True))
    trainer.save_model(str(tmp_path / "decoder"))
    decoder = AutoModelForCausalLM.from_pretrained(tmp_path / "decoder")
    assert len(AutoTokenizer.from_pretrained(tmp_path / "decoder")) <= decoder.config.vocab_size
    model, processor = initialize("tiny", language_model=str(tmp_path / "decoder"))
    state = trainer.model.state_dict()
    assert torch.equal(model.lm_head.weight, state["lm_head.weight"])
    assert model.model.config.num_image_tokens == trainer.args.image_tokens == processor.num_image_tokens


def test_the_rate_falls_in_the_second_half_of_the_lessons(tmp_path):
    """lesson_steps 8 after a drill of 10 steps: full until step 14, then 3/4, 1/2, 1/4, 0."""
    trainer = make_trainer(tmp_path, lesson_steps=8)
    trainer.create_optimizer()
    factor = trainer.create_scheduler(100).lr_lambdas[0]
    assert factor(50) == 1.0
    trainer.progress.drill, trainer.progress.ended = None, 10
    assert [factor(step) for step in (10, 14, 15, 16, 17, 18, 19)] == [1.0, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0]

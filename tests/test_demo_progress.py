"""The bars of a command's log as one share of its work."""

import pytest

from med3d_r1.demo.progress import LogProgress


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "a.log"
    path.write_text("$ med3d-r1 train\n 90%|#########  | 90/100 [00:01<00:00]\n")
    return path


def say(log, text):
    with open(log, "a") as file:
        file.write(text)


def test_what_a_former_run_wrote_does_not_count(log):
    assert LogProgress(log).share() == 0.0


def test_the_last_percentage_counts_also_where_a_line_is_overwritten(log):
    progress = LogProgress(log)
    say(log, "\r  3%|    | 3/100 [00:01<00:31]\r  4%|    | 4/100 [00:01<00:31, 3.1it/s]")
    assert progress.share() == 0.04
    assert progress.share() == 0.04
    say(log, "\r 50%|##  | 50/100 [00:11<00:10]")
    assert progress.share() == 0.5


def test_bars_one_after_the_other_are_equal_parts(log):
    progress = LogProgress(log, bars=2)
    say(log, "\rscans drawn:  50%|##  | 1.50k/3.00k [00:11<00:10]")
    assert progress.share() == 0.25
    say(log, "\rscans drawn: 100%|####| 3.00k/3.00k [00:22<00:00]\n\r  0%|    | 0/3000 [00:00<?]")
    assert progress.share() == 0.5
    say(log, "\r100%|####| 3000/3000 [00:22<00:00]")
    assert progress.share() == 1.0


def test_the_short_bars_of_an_evaluation_are_not_looked_at(log):
    progress = LogProgress(log)
    say(log, "\r 25%|#   | 400/1600 [00:11<00:33]\n\r 50%|##  | 2/4 [00:01<00:01]\r100%|####| 4/4 [00:02<00:00]")
    assert progress.share() == 0.25
    say(log, "\r 26%|#   | 416/1600 [00:13<00:33]")
    assert progress.share() == 0.26


def test_more_bars_than_were_announced_never_make_more_than_all(log):
    progress = LogProgress(log)
    say(log, "\ra: 100%|####| 10/10 [00:01<00:00]\n\rb: 100%|####| 10/10 [00:01<00:00]")
    assert progress.share() == 1.0

"""Sentences that every way into the package has in common: the command line, the Space."""

DEFAULT_QUESTION = "Which of these abnormalities is present in this scan?"
"""Asked where there is no question of one's own; the options are the 18 abnormalities of CT-RATE."""

DISCLAIMER = "Research software, not a medical device: not for any decision about a patient."
"""Stands with everything that a model says."""

__all__ = ["DEFAULT_QUESTION", "DISCLAIMER"]

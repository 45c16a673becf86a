"""The answer parser, where evaluation looks for it: the same one that rewards and the processor use.

    parse_answer(text, options=None, think=True) -> ParsedAnswer(reasoning, answer, letter, valid)

It lives in `answers_med3d_r1`, because it travels with every checkpoint.
"""

from ..answers_med3d_r1 import LETTERS, ParsedAnswer, find_letter, has_layout, parse_answer

__all__ = ["LETTERS", "ParsedAnswer", "find_letter", "has_layout", "parse_answer"]

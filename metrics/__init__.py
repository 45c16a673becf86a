"""Texts or numbers in, numbers out: answers, report metrics, statistics. No torch, no network."""

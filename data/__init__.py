"""Data sets and the synthetic chest that stands in for them: scans, reports and questions become training rows."""

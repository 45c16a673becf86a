"""How much one visitor, and all of them together, may ask of this Space."""

MAX_FILE_BYTES = 512 * 2**20
"""Of an upload. The largest scans of CT-RATE take about 400 MiB as .nii.gz."""

MAX_VOXEL_BYTES = 2 * 2**30
"""That a scan may claim: 2,048 slices of 512 x 512 in 16 bits take 1 GiB."""

MAX_WAITING = 16
"""Calls that wait for their turn. Whoever comes then is told to come back later."""

READERS = 2
"""Scans that are read at the same time; the model answers one question at a time."""

MAX_SESSIONS = 24
"""Visitors whose scan is kept in memory, 11 MB each and as much again on another model's grid. The one who was quiet
for longest makes room."""

SESSION_SECONDS = 3600
"""After so long a silence a scan is forgotten, whether its visitor has left or not."""

CACHE_SECONDS = (300, 900)
"""How often, and from which age on, files are removed that were uploaded and never read."""

MAX_NEW_TOKENS = 512
"""Of an answer: the release's completion length."""

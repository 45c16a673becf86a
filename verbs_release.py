"""What the verbs `release` and `release-space` do: show what would be sent, and send it."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .terminal import print_text, quiet_libraries, say

if TYPE_CHECKING:
    from .release.files import Entry

NOTHING_SENT = (
    "Nothing was sent, and the Hub was not asked: whether repository and tag are free is seen when it is sent."
)


def run_release(args: argparse.Namespace) -> None:
    """Publish a model folder as one commit and one tag."""
    from .release import hub
    from .release.card_runs import Energy
    from .release.model import ModelRelease, stage_model

    quiet_libraries(args.verbose)
    hub.require_repo_id(args.repo_id)
    tag = args.tag or None
    if tag is not None:
        hub.require_tag(tag)
    release = ModelRelease(
        folder=args.folder,
        repo_id=args.repo_id,
        tag=tag,
        results=args.results,
        runs=args.runs,
        licence=args.license,
        licence_file=args.license_file,
        base_models=args.base_model,
        energy=Energy(args.watts, args.grams_per_kwh),
    )
    place = None
    if not args.dry_run:
        with hub.asking():
            place = hub.find_place(hub.open_hub(), args.repo_id, "model", args.private)
    with tempfile.TemporaryDirectory(prefix="med3d-r1-release-") as scratch:
        say("checking the folder, and loading it as somebody would who has nothing else")
        staged = stage_model(release, Path(scratch) / "release")
        loaded = staged.loaded
        facts = [
            ("repository", f"{args.repo_id} ({'private' if args.private else 'public'})"),
            ("tag", tag or "none"),
            ("loads", f"{loaded['class']}, {loaded['parameters']:,} weights, transformers {loaded['transformers']}"),
            ("results", ", ".join(one.path for one in staged.evidence) or "none: the card has no number"),
            (
                "runs",
                ", ".join(f"{run.folder} ({run.tie})" for run in staged.runs) or "none: the card tells no training",
            ),
        ]
        print_text(_listing(facts, staged.entries))
        if place is None:
            card = next(entry for entry in staged.entries if entry.path == "README.md")
            if args.card is not None:
                _write_card(card.source, args.card)
            print_text(NOTHING_SENT)
            return
        with hub.asking():
            place = hub.create(hub.compare(place, staged.entries, tag), args.private)
            commit = hub.send(place, staged.folder, staged.message, tag)
    print_text(_sent(place, commit, tag))


def run_release_space(args: argparse.Namespace) -> None:
    """Publish the Space, with the model that it loads."""
    from .release import hub
    from .release.space import SpaceRelease, stage_space

    hub.require_repo_id(args.repo_id)
    release = SpaceRelease(args.repo_id, args.model, args.revision, args.folder)
    place = commit = None
    if not args.dry_run:
        with hub.asking():
            api = hub.open_hub()
            place = hub.find_place(api, args.repo_id, "space", args.private)
            commit = hub.commit_of(api, args.model, args.revision)
    with tempfile.TemporaryDirectory(prefix="med3d-r1-release-") as scratch:
        staged = stage_space(release, Path(scratch) / "space")
        facts = [
            ("Space", f"{args.repo_id} ({'private' if args.private else 'public'})"),
            (hub.MODEL_VARIABLE, args.model),
            (
                hub.REVISION_VARIABLE,
                commit or f"the commit of {args.revision or hub.BRANCH}, looked up when it is sent",
            ),
        ]
        print_text(_listing(facts, staged.entries))
        if place is None:
            print_text(NOTHING_SENT)
            return
        variables = {hub.MODEL_VARIABLE: args.model, hub.REVISION_VARIABLE: commit}
        with hub.asking():
            place = hub.create(hub.compare(place, staged.entries, None), args.private, variables=variables)
            sent = hub.send(place, staged.folder, staged.message, None)
    print_text(_sent(place, sent, None))


def _listing(facts: Sequence[tuple[str, str]], entries: Sequence[Entry]) -> str:
    width = max(len(name) for name, _ in facts) + 2
    head = [f"{name:<{width}}{value}" for name, value in facts]
    files = [f"{entry.size:>14,}  {entry.sha256}  {entry.path}" for entry in entries]
    total = f"{sum(entry.size for entry in entries):>14,}  bytes in {len(entries)} files, one commit"
    return "\n".join([*head, "", f"{'bytes':>14}  {'sha256':<64}  file", *files, total])


def _write_card(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.part")
    draft.write_bytes(source.read_bytes())
    draft.replace(target)
    say(f"the card is in {target}")


def _sent(place, commit: str, tag: str | None) -> str:
    page = f"{place.api.endpoint}/{'spaces/' if place.repo_type == 'space' else ''}{place.repo_id}"
    lines = [f"commit      {commit}", f"page        {page}"]
    if place.gone:
        lines.append(f"removed     {len(place.gone)} files of the version before, such as {place.gone[0]}")
    if place.tagged is not None:
        lines.append("            the tag was there already with these very files: nothing was sent")
    if place.repo_type == "model":
        lines += [
            f"tag         {tag or 'none'}",
            "to load     AutoModelForImageTextToText.from_pretrained("
            f'"{place.repo_id}", revision="{commit}", trust_remote_code=True)',
        ]
    return "\n".join(lines)

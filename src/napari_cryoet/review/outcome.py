"""What a review results in: the kept picks, or the rejected ones, with who judged them and when."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime

from napari_cryoet.picks import Picks
from napari_cryoet.review.decisions import Decisions, Verdict


def kept_picks(picks: Picks, decisions: Decisions, *, by: str = "", on: datetime | None = None) -> Picks:
    """The picks that were kept; their `edits` end with how many of how many, by whom and when.

    Parameters
    ----------
    by
        Who judged; by default the name of the account on this computer.
    on
        When; by default now.
    """
    return _judged(picks, decisions, Verdict.KEPT, by, on)


def rejected_picks(picks: Picks, decisions: Decisions, *, by: str = "", on: datetime | None = None) -> Picks:
    """The picks that were rejected; as `kept_picks`."""
    return _judged(picks, decisions, Verdict.REJECTED, by, on)


def reviewer() -> str:
    """The name of the account on this computer, or nothing where it has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def _judged(picks: Picks, decisions: Decisions, verdict: Verdict, by: str, on: datetime | None) -> Picks:
    chosen = decisions.which(picks.ids, verdict)
    name, day = by or reviewer(), (on or datetime.now(UTC)).date().isoformat()
    who = f" by {name}" if name else ""
    left = decisions.count(picks.ids)
    undecided = f" ({left.total - left.judged} undecided)" if left.judged < left.total else ""
    return picks.take(chosen, f"{verdict.value} {chosen.sum()} of {len(picks)} in review{who} on {day}{undecided}")

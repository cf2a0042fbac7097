"""What undoing or redoing a decision did, in words: the picks that it was about may be out of sight."""

from __future__ import annotations

from collections.abc import Mapping

from napari_cryoet.review.decisions import Verdict
from napari_cryoet.wording import count_text


def retold(done: str, verdicts: Mapping[int, Verdict], n_hidden: int) -> str:
    """Say what a step did, as ``Undone: pick 7 is undecided again. The filter hides it.`` does.

    Parameters
    ----------
    done
        "Undone" or "Redone".
    verdicts
        Of the picks that the step was about, as they are now, by their ids; empty where these picks are gone, or others
        judged them.
    n_hidden
        How many of them aren't shown.
    """
    if not verdicts:
        return f"{done}, for picks that were deleted, or judged in another window, since."
    found = list(verdicts.values())
    if len(found) == 1:
        (pick_id,) = verdicts
        words = f"pick {pick_id} is {found[0].value} again"
    else:
        counts = [(found.count(verdict), verdict.value) for verdict in Verdict if verdict in found]
        (count, value), *others = sorted(counts, reverse=True)
        words = f"{count_text(count, 'pick')} {'is' if count == 1 else 'are'} {value} again"
        words += "".join(f", {count:,} {value}" for count, value in others)
    hidden = "it" if len(found) == 1 else "them" if n_hidden == len(found) else f"{n_hidden:,} of them"
    return f"{done}: {words}." + (f" The filter hides {hidden}." if n_hidden else "")

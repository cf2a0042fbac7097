"""Keeps the picks of a Points layer and the layer itself in step, both ways, and can take back what was done to them.

Whatever a person does in napari (move, add, paste, delete, edit the features table) becomes a new state of the picks;
whatever is done to the picks from here is written back into the layer. Each state is one step of undo.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Any, Final

import numpy as np
from napari.layers import Points
from napari.layers.base import ActionType
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from napari_cryoet._qt.layers.layer_spacing import spacing_angstrom_of
from napari_cryoet._qt.picks.layer_picks import (
    give_copies_no_images,
    keepers,
    onlookers,
    picks_of,
    read_picks,
    rows_that_were_chosen,
    shows,
    spare_own_ids,
)
from napari_cryoet._qt.picks.picks import watch
from napari_cryoet._qt.picks.point_looks import Looks, give_looks
from napari_cryoet._qt.streaming.napari_internals import is_gripped, refresh_blocked
from napari_cryoet._qt.widgets.hidden_rows import slice_hidden
from napari_cryoet._qt.widgets.layer_table import name_new_rows, name_rows, select_no_more_than_there_is, write_table
from napari_cryoet._qt.widgets.timers import single_shot
from napari_cryoet._qt.widgets.weak_calls import weak_call
from napari_cryoet.layers.specs import METADATA_KEY, PICKS_KEY
from napari_cryoet.picks import Picks
from napari_cryoet.picks.history import UNDO_STEPS, PickHistory, sharing, what_changed

_LOOK_AGAIN_MS: Final = 200
_DONE: Final = frozenset({ActionType.ADDED, ActionType.REMOVED, ActionType.CHANGED})

_links: weakref.WeakKeyDictionary[Points, PicksLink] = weakref.WeakKeyDictionary()


def link_of(layer: Points) -> PicksLink:
    """The link of a Points layer, which lives as long as the layer; made if there is none yet.

    A person's own layer gets a features column that says which pick a row is, and nothing else. If it has one of that
    name, whole numbers that are all different are taken for it; anything else goes on under another name.

    Raises
    ------
    ValueError
        If the layer isn't three-dimensional.
    """
    link = _links.get(layer)
    if link is None:
        link = _links[layer] = PicksLink(layer)
    return link


class PicksLink(QObject):
    """The picks of one layer, now, and the way to change them.

    Made by `link_of`. Ctrl+Z and Ctrl+Shift+Z undo and redo while the layer is the active one.
    """

    changed = Signal()  # the picks are others now: ask `picks`
    selection_changed = Signal()  # other picks are selected: ask `selected_ids`
    obstacle_changed = Signal()  # the layer shows no picks just now, or does again: ask `obstacle`
    _features_asked_for = Signal()  # on any thread: napari's status line has one of its own

    def __init__(self, layer: Points) -> None:
        super().__init__()
        self._layer_reference = weakref.ref(layer)
        spare_own_ids(layer)
        self._picks = picks_of(layer)
        self._history = PickHistory()
        self._looks: Looks | None = None  # of all picks, as of before the change that is under way
        self._gone: list[Looks] = []  # of picks that are no longer there, the latest first
        self._next_id = 0  # larger than that of any pick that ever was there
        self._is_writing = self._will_look = self._is_changing = False
        self._told_obstacle = ""
        self._soon = single_shot(self, 0, self._settle_quietly)
        self._later = single_shot(self, _LOOK_AGAIN_MS, self._look)
        self._features_asked_for.connect(self._later.start)
        self._follows_scale = METADATA_KEY not in layer.metadata or self._picks.spacing_angstrom is None
        self._keep(layer, self._picks)
        watch(layer)
        keepers[layer], onlookers[layer] = _weak_keeper(self), weak_call(self, "look_again")
        layer.events.data.connect(self._on_data)
        for event in (layer.events.features, layer.events.scale, layer.events.units):
            event.connect(self._on_something)
        layer.selected_data.events.items_changed.connect(self._on_selection)
        layer.bind_key("Control-Z", _undo_in, overwrite=True)
        layer.bind_key("Control-Shift-Z", _redo_in, overwrite=True)

    # what there is

    @property
    def layer(self) -> Points | None:
        """The layer; None once nobody has it any more."""
        return self._layer_reference()

    @property
    def picks(self) -> Picks:
        """The picks that the layer shows now, in its order; their ``edits`` say what was done to them."""
        self._settle()
        return self._picks

    @property
    def obstacle(self) -> str:
        """Why what the layer shows just now can't be picks, as points that are nowhere; empty where it can."""
        try:
            self._settle()
        except ValueError as error:
            return str(error)
        return ""

    @property
    def is_writing(self) -> bool:
        """Whether the layer is being written, so that its rows are picks that nobody was told of yet."""
        return self._is_writing

    @property
    def selected_ids(self) -> NDArray[np.int64]:
        """The ids of the picks that are selected in the layer, in its order."""
        ids = self.picks.ids
        layer = self.layer
        return ids[sorted(layer.selected_data)] if layer is not None else ids[:0]

    @property
    def undo_text(self) -> str:
        """What `undo` would take back; empty where there is nothing."""
        if self.obstacle:
            return "what made points that can't be picks"
        return self._history.undo_text(self._picks)

    @property
    def redo_text(self) -> str:
        """What `redo` would do again; empty where there is nothing."""
        return "" if self.obstacle else self._history.redo_text(self._picks)

    # what can be done

    def set(self, picks: Picks, edit: str = "") -> None:
        """Show other picks in the layer, as one step that can be undone.

        Parameters
        ----------
        picks
            Most often made from `picks`; those whose ids are known keep their looks. Counted in other voxels than the
            layer's, they are put where they belong.
        edit
            What was done, in words, if their ``edits`` don't say it yet.
        """
        self._settle()
        spacing = self._picks.spacing_angstrom
        if spacing is not None and picks.spacing_angstrom not in {None, spacing}:
            picks = picks.rescaled(spacing, self._picks.shape_zyx)
        self._history.remember(self._picks)
        self._write(picks.changed(edit) if edit else picks)

    def undo(self) -> bool:
        """Take back what was done last; False where there is nothing to take back."""
        if self.obstacle:  # nothing else was done since the picks that are known
            self._put_back()
            return True
        return self._write(self._history.back(self._picks))

    def redo(self) -> bool:
        """Do again what was taken back last; False where there is nothing."""
        return self._write(None if self.obstacle else self._history.forth(self._picks))

    def select(self, ids: Iterable[int]) -> None:
        """Select the picks with some ids in the layer, and no others; ids that aren't there are left out."""
        wanted = np.fromiter(ids, dtype=np.int64)
        rows = np.flatnonzero(np.isin(self.picks.ids, wanted))
        layer = self.layer
        if layer is not None:
            layer.selected_data = set(rows.tolist())

    def tell(self, **about: Any) -> None:
        """Let something else be known of where the picks come from, now and in every state to come back to."""

        def told(state: Picks) -> Picks:
            return state.changed(about={**state.about, **about})

        layer = self.layer
        self._settle_quietly()
        self._history.change(told)
        self._picks = told(self._picks)
        if layer is not None:
            layer.metadata[PICKS_KEY] = self._picks
        self.changed.emit()

    def look_again(self) -> None:
        """Somebody may be about to change the layer's features in place, which napari tells nobody."""
        if not self._is_writing and not self._will_look:
            self._will_look = True
            self._features_asked_for.emit()

    def _look(self) -> None:
        self._will_look = False
        self._settle_quietly()

    # how the layer is followed

    def _on_data(self, event: Any) -> None:
        layer = self.layer
        if layer is None or self._is_writing:
            return
        if event.action in _DONE:
            self._is_changing = False
            select_no_more_than_there_is(layer)
            name_new_rows(layer, self._picks, self._next_id)
            self._settle_quietly()
            slice_hidden(layer)
        else:
            self._settle_quietly()  # what was changed before without a word is a step of its own
            is_known = len(self._picks) == len(layer.data)
            self._looks = Looks.of(layer, self._picks.ids) if is_known else None
            self._is_changing = True

    def _on_something(self, _event: Any = None) -> None:
        if not self._is_writing:
            self._soon.start()

    def _on_selection(self, _added: object = None, _removed: object = None) -> None:
        layer = self.layer
        if layer is not None and not self._is_writing and len(layer.data) != len(self._picks):
            self._settle_quietly()  # napari pastes without a word
        self.selection_changed.emit()

    def _follow_chosen_rows(self, layer: Points) -> None:
        """Let the table and the looks be those of the picks that a script chose among the layer's own points."""
        chosen = rows_that_were_chosen(layer, self._picks)
        if chosen is None:
            return
        picks = self._picks.take(chosen)
        self._is_writing = True
        try:
            with refresh_blocked(layer):
                if self._looks is not None:
                    give_looks(layer, picks.ids, [self._looks])
                write_table(layer, picks)
        finally:
            self._is_writing = False
        layer.refresh()

    def _settle_quietly(self) -> None:
        """As `_settle`, for events: a layer that shows no picks just now is looked at again when it is asked for."""
        obstacle = self.obstacle
        if obstacle != self._told_obstacle:
            self._told_obstacle = obstacle
            self.obstacle_changed.emit()

    def _settle(self) -> None:
        """Take over what was done to the layer since it was looked at last."""
        layer = self.layer
        if layer is None or self._is_writing or self._is_dragged(layer):
            return
        self._soon.stop()
        layer.metadata[PICKS_KEY] = self._picks  # somebody may have put other metadata in place of ours
        self._take_on_spacing(layer)
        if shows(layer, self._picks):
            return
        self._follow_chosen_rows(layer)
        give_copies_no_images(layer, self._picks)
        found = self._history.with_former_rotations(read_picks(layer, self._next_id), self._picks, self._next_id)
        edit = what_changed(self._picks, found)
        if not edit:
            name_rows(layer, self._picks.ids)
            return
        self._history.remember(self._picks)
        before, self._picks = self._picks, sharing(found, self._picks, edit)
        gone = ~np.isin(before.ids, self._picks.ids)
        if self._looks is not None and gone.any():
            self._bury(self._looks.take(gone))
        self._looks = None
        self._keep(layer, self._picks)
        self.changed.emit()

    def _is_dragged(self, layer: Points) -> bool:
        """Whether points are under way with the mouse: napari tells of their features at each step, and of the end."""
        return self._is_changing and is_gripped(layer)

    def _take_on_spacing(self, layer: Points) -> None:
        """Where no file said how wide voxels are, the layer's scale does, now and in every state to come back to."""
        spacing = spacing_angstrom_of(layer)
        if not self._follows_scale or spacing == self._picks.spacing_angstrom:
            return
        self._history.change(lambda state: state.changed(spacing_angstrom=spacing))
        self._picks = self._picks.changed(spacing_angstrom=spacing)
        self._keep(layer, self._picks)
        self.changed.emit()

    def _keep(self, layer: Points, picks: Picks) -> None:
        """Let the layer know its picks, and each row which of them it is."""
        layer.metadata[PICKS_KEY] = picks
        ids = picks.ids
        self._next_id = max(self._next_id, int(ids.max(initial=-1)) + 1)
        name_rows(layer, ids)

    def _bury(self, looks: Looks) -> None:
        self._gone.insert(0, looks)
        del self._gone[UNDO_STEPS:]

    # how the layer is written

    def _write(self, picks: Picks | None) -> bool:
        layer = self.layer
        if layer is None or picks is None:
            return False
        picks = picks.changed(next_id=self._next_id)
        before, self._picks = self._picks, picks
        self._is_writing = True
        try:
            self._write_rows(layer, before, picks)
            self._keep(layer, picks)
        finally:
            self._is_writing = False
        self.changed.emit()
        return True

    def _put_back(self) -> None:
        """Show the picks once more in a layer that shows no picks just now."""
        layer = self.layer
        if layer is None:
            return
        self._is_writing = True
        try:
            layer.selected_data.clear()
            layer.data = np.array(self._picks.points_zyx)
            with refresh_blocked(layer):
                if self._looks is not None:
                    give_looks(layer, self._picks.ids, [self._looks, *self._gone])
                write_table(layer, self._picks)
            self._keep(layer, self._picks)
        finally:
            self._is_writing = False
        layer.refresh()
        self.changed.emit()
        self._settle_quietly()

    def _write_rows(self, layer: Points, before: Picks, picks: Picks) -> None:
        ids, ids_before = picks.ids, before.ids
        has_same_rows = np.array_equal(ids, ids_before)
        selected = ids_before[sorted(layer.selected_data)]
        looks = None if has_same_rows else Looks.of(layer, ids_before)
        if looks is not None:
            self._bury(looks.take(~np.isin(ids_before, ids)))
            layer.selected_data.clear()
        if looks is not None or not np.array_equal(picks.points_zyx, before.points_zyx):
            layer.data = np.array(picks.points_zyx)
        with refresh_blocked(layer):  # once is enough
            if looks is not None:
                give_looks(layer, ids, [looks, *self._gone])
            write_table(layer, picks)
            if looks is not None:
                layer.selected_data = set(np.flatnonzero(np.isin(ids, selected)).tolist())
        layer.refresh()


def _undo_in(layer: Points) -> None:
    """Take back what was done last to the picks of this layer."""
    link_of(layer).undo()


def _redo_in(layer: Points) -> None:
    """Do again what was taken back last in this layer."""
    link_of(layer).redo()


def _weak_keeper(link: PicksLink) -> Callable[[], Picks]:
    """The link's picks, without keeping the link alive."""
    reference = weakref.ref(link)

    def picks() -> Picks:
        alive = reference()
        assert alive is not None  # noqa: S101 - it lives as long as the layer
        return alive.picks

    return picks

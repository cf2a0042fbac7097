"""In which colour an annotation is shown: by the order in which people ask for them, and by what they chose instead.

Where no colour is left that everybody tells from the others, picks get another symbol.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from napari.components import ViewerModel
from napari.layers import Layer

from napari_cryoet._qt.active_layer import real
from napari_cryoet._qt.appearance import MAIN_COLORS, appearance_of, give_colors, single_colors
from napari_cryoet._qt.look_icon import symbol_of
from napari_cryoet._qt.own_color import taken_colors
from napari_cryoet._qt.own_layers import LayerKey, about_of, key_of
from napari_cryoet.color_vision import are_alike
from napari_cryoet.colors import RGBA, SYMBOLS, another_color, color_of, looks_of, object_key, symbol_beside
from napari_cryoet.layer_spec import LayerSpec
from napari_cryoet.portal.pages import RunPage
from napari_cryoet.records import AnnotationFile
from napari_cryoet.vocabulary import ShapeType

#: Each of their instances has a colour of its own, and the object's stays free.
_OF_MANY_COLORS: Final = frozenset({ShapeType.INSTANCE_SEGMENTATION, ShapeType.INSTANCE_SEGMENTATION_MASK})
#: Colours that differ by less are one, rounded.
_ROUNDING: Final = 2e-3

_Colors = dict[str, RGBA]  # by napari's name for them
#: What people chose outlives the dock, as the viewer does.
_chosen: WeakKeyDictionary[ViewerModel, dict[LayerKey, _Colors]] = WeakKeyDictionary()
_given: WeakKeyDictionary[Layer, _Colors] = WeakKeyDictionary()


class _Claim(NamedTuple):
    """What has a colour, or is to have it: an annotation, of an object in a run."""

    run_id: object
    object_key: str
    annotation_id: object
    color: RGBA | None = None
    is_ours: bool = True  # and no copy, whose colour is its owner's affair
    symbol: str = ""
    layer: Layer | None = None

    def drawn_as(self) -> str:
        """The symbol, which takes a moment to look up in many points."""
        return self.symbol if self.layer is None else symbol_of(self.layer)

    def is_rival_of(self, other: _Claim) -> bool:
        """Whether both are of one object, and no shapes of one annotation."""
        same = self.run_id == other.run_id and self.object_key == other.object_key
        return same and self.annotation_id != other.annotation_id


class AnnotationColors:
    """Settles which colour each annotation of a viewer gets as soon as it is asked for, however long it takes to come.

    The first annotation of an object has the object's colour, further ones beside it have others; all shapes of one
    annotation have one colour. What a person chose instead, an annotation has again when it is shown again.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._choices = _chosen.setdefault(real(viewer), {})
        self._coming: dict[LayerKey, _Claim] = {}

    def claim(self, key: LayerKey, page: RunPage, file: AnnotationFile) -> tuple[RGBA, str]:
        """The colour and the symbol of an annotation that is on its way from now on, until `let_go`."""
        of_run, mine = _looks_in(page), _claim_of(page, file)
        of_object, symbol = of_run.get(mine.object_key) or (color_of(mine.object_key), SYMBOLS[0])
        claims = [*_shown(self._viewer.layers), *self._coming.values()]
        color = self._choice_for(key) or _settled(mine, claims, of_object)
        if color is None:
            same = [claim.color for claim in claims if claim.is_rival_of(mine) and claim.color]
            coming = [claim.color for claim in self._coming.values() if claim.color]
            reserved = [reserved for reserved, _symbol in of_run.values()]
            color = another_color(same, [*taken_colors(self._viewer.layers), *coming, *reserved])
        others = [look for named, look in of_run.items() if named != mine.object_key]
        alike = [claim for claim in claims if claim.annotation_id != mine.annotation_id and _look_alike(claim, color)]
        symbol = symbol_beside(color, [*others, *((color, claim.drawn_as()) for claim in alike)], first=symbol)
        is_many = file.shape is not None and file.shape.shape_type in _OF_MANY_COLORS
        self._coming[key] = mine._replace(color=None if is_many else color, symbol=symbol)
        return color, symbol

    def let_go(self, key: LayerKey) -> None:
        """It isn't on its way any more: it is shown, or never will be."""
        self._coming.pop(key, None)

    def note_given(self, key: LayerKey, layers: Iterable[Layer]) -> None:
        """Note how layers look that nobody has recoloured yet, and give them what a person chose for them before."""
        for layer in layers:
            _given[layer] = single_colors(layer)
            give_colors(layer, self._choices.get(key, {}))

    def note_chosen(self, key: LayerKey, layer: Layer) -> None:
        """Keep what a person recoloured in a layer that goes."""
        given, chosen = _given.get(layer, {}), self._choices.setdefault(key, {})
        for name, color in single_colors(layer).items():
            if name in given and (name in chosen or not _is_same(color, given[name])):
                chosen[name] = color

    def _choice_for(self, key: LayerKey) -> RGBA | None:
        """What a person chose for the whole of an annotation, or what stands for it."""
        chosen = self._choices.get(key, {})
        return next((chosen[name] for name in MAIN_COLORS if name in chosen), None)


def run_colors(page: RunPage) -> dict[str, RGBA]:
    """The colour of every object of a run, by `object_key`."""
    return {named: color for named, (color, _symbol) in _looks_in(page).items()}


def with_symbol(specs: Iterable[LayerSpec], symbol: str) -> tuple[LayerSpec, ...]:
    """Layers whose picks have another symbol, where they have one colour."""
    return tuple(
        spec._replace(options=spec.options | {"symbol": symbol})
        if spec.kind == "points" and np.shape(spec.options["border_color"]) == (4,)
        else spec
        for spec in specs
    )


def _looks_in(page: RunPage) -> dict[str, tuple[RGBA, str]]:
    return looks_of(object_key(annotation.object_id, annotation.object_name) for annotation in page.annotations)


def _look_alike(claim: _Claim, color: RGBA) -> bool:
    return claim.color is not None and are_alike(claim.color, color)


def _claim_of(page: RunPage, file: AnnotationFile) -> _Claim:
    annotation = file.shape.annotation if file.shape is not None else None
    if annotation is None:
        return _Claim(page.run.id, "", None)
    return _Claim(page.run.id, object_key(annotation.object_id, annotation.object_name), annotation.id)


def _shown(layers: Iterable[Layer]) -> Iterator[_Claim]:
    """What layers of annotations have, anybody's."""
    for layer in layers:
        about = about_of(layer)
        if about.get("annotation_id") is not None:
            named = object_key(about.get("object_id"), about.get("object_name"))
            color, is_ours = appearance_of(layer).color, key_of(layer) is not None
            yield _Claim(about.get("run_id"), named, about["annotation_id"], color, is_ours, layer=layer)


def _settled(mine: _Claim, claims: Sequence[_Claim], of_object: RGBA) -> RGBA | None:
    """The colour of another shape of the annotation, or else of its object; None where another annotation has that."""
    for claim in claims:
        if claim.is_ours and claim.color and claim.annotation_id == mine.annotation_id is not None:
            return claim.color
    rivals = [claim.color for claim in claims if claim.is_rival_of(mine) and claim.color]
    return None if any(are_alike(of_object, color) for color in rivals) else of_object


def _is_same(one: RGBA, other: RGBA) -> bool:
    """Whether two colours are one, however opaque: rejected picks are faint, and nobody chose that."""
    return max(abs(a - b) for a, b in zip(one[:3], other[:3], strict=True)) < _ROUNDING

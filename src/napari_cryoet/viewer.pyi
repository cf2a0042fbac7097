# The public names, each once: `viewer.py` imports them from here at first use.

from ._qt.picks.layer_picks import LivePicks as LivePicks
from ._qt.picks.layer_picks import live_picks_of as live_picks_of
from ._qt.picks.layer_picks import picks_of as picks_of
from ._qt.picks.orientations import show_orientations as show_orientations
from ._qt.picks.popover import show_diameter as show_diameter
from ._qt.picks.slabs import show_slabs as show_slabs
from ._qt.streaming.progressive import StreamState as StreamState
from ._qt.streaming.progressive import StreamStatus as StreamStatus
from ._qt.streaming.progressive import make_layer as make_layer
from ._qt.viewer.adding import add_layers as add_layers
from ._qt.views.camera import camera_of as camera_of
from ._qt.views.capture import view_of as view_of
from ._qt.views.picture import save_movie as save_movie
from ._qt.views.picture import save_picture as save_picture
from ._qt.views.restore import open_view as open_view
from .layers.compared import comparison_layers as comparison_layers
from .layers.progressive import layer_specs as layer_specs
from .views.movie import between as between
from .views.movie import sweep as sweep
from .views.movie import turn as turn

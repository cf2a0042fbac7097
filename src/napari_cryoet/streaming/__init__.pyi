# The public names, each once: `__init__.py` imports them from here at first use.

from .disk_cache import DiskCache as DiskCache
from .display import Display as Display
from .display import DisplayLevel as DisplayLevel
from .display import DisplayState as DisplayState
from .layout import find_labels as find_labels
from .pyramid import Pyramid as Pyramid
from .pyramid import open_pyramid as open_pyramid
from .pyramid import pyramid_of as pyramid_of
from .pyramid import split_pyramid as split_pyramid

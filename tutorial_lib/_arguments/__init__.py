"""One rule for each kind of argument: what a method may be given, and what it says where it was given something else.

Every function takes the value and the argument's name, gives the value in one form (a Python number, a tuple, a dense
tensor), and raises `ValueError("<name> must be ..., got ...")`. A number may be Python's, NumPy's, or a tensor or array
without axes; a sequence of numbers a tuple, list, range, array or tensor. True and False are no numbers, and text is no
sequence.

torch and NumPy are not imported here: where neither is loaded, no value can be theirs.
"""

from .._types import Labels as Labels
from .._types import Numbers as Numbers
from .._types import Wholes as Wholes
from .arrays import array as array
from .arrays import double as double
from .arrays import every_row as every_row
from .arrays import labels as labels
from .arrays import mask as mask
from .arrays import no_autocast as no_autocast
from .arrays import pair as pair
from .arrays import reduced as reduced
from .arrays import same_shape as same_shape
from .arrays import spacing as spacing
from .arrays import spatial_dims as spatial_dims
from .arrays import tensor as tensor
from .arrays import unit as unit
from .arrays import wide as wide
from .models import module as module
from .models import modules as modules
from .scalars import choice as choice
from .scalars import generator as generator
from .scalars import number as number
from .scalars import numbers as numbers
from .scalars import reduction as reduction
from .scalars import single as single
from .scalars import string as string
from .scalars import strings as strings
from .scalars import whole as whole
from .scalars import wholes as wholes
from .targets import bits as bits
from .targets import boxes as boxes
from .targets import class_counts as class_counts
from .targets import class_range as class_range
from .targets import class_target as class_target
from .targets import class_weight as class_weight
from .targets import kept as kept
from .targets import labelled as labelled
from .targets import objects as objects
from .targets import rois as rois
from .targets import soft_masks as soft_masks
from .words import listed as listed
from .words import what as what

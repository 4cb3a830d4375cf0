"""Small segmentation networks with two heads, in 2-D and 3-D, inference on volumes larger than a crop, and a backbone.

The segmentation networks return :class:`DualOutput` ``(logits, sdf)``: the scores of a segmentation, and a signed
distance in [-1, 1], negative inside. A method that needs one head ignores the other.

==========  ===================  ===========================================  ==========================  =============
file        network              joins encoder and decoder by                 parameters as by default    multiples of
==========  ===================  ===========================================  ==========================  =============
vnet.py     :class:`DualVNet`    addition, five levels (DTC's network)        9,448,866 (3-D)             16
unet.py     :class:`DualUNet`    concatenation, three levels (for a laptop)   116,770 (2-D)               4
==========  ===================  ===========================================  ==========================  =============

``multitask.py`` has :class:`MultiTaskUNet`, which classifies and segments, with MultiMix's bridge between the tasks.
``efficientnet_lite.py`` has :class:`EfficientNetLite`, a classifier with trained weights that detectors stand on.
``text_unet.py`` has :class:`TextUNet`, which draws by diffusion, with the words it is told.
``hugging_face.py`` has :func:`hf_encoder`: a pretrained encoder of the user's own, for texts of any length.
``windows.py`` has :func:`sliding_window` and :func:`flip_average`; ``blocks.py`` what the networks are built of.
"""

from .blocks import DualOutput
from .efficientnet_lite import EfficientNetLite, pretrained_efficientnet_lite
from .hugging_face import TokenStates, hf_encoder
from .multitask import MultiTaskOutput, MultiTaskUNet, SaliencyBridge
from .refinenet import ChainedResidualPooling, MultiResolutionFusion, RefineNet, ResidualConvUnit
from .skips import MapOutput, UNet, UNet3Plus, UNetPlusPlus, class_guided
from .text_unet import CrossAttention, TextEncoder, TextUNet, time_embedding
from .unet import DualUNet
from .vnet import DualVNet
from .windows import flip_average, sliding_window

__all__ = [
    "ChainedResidualPooling",
    "MapOutput",
    "MultiTaskOutput",
    "MultiTaskUNet",
    "SaliencyBridge",
    "MultiResolutionFusion",
    "RefineNet",
    "ResidualConvUnit",
    "CrossAttention",
    "TextEncoder",
    "TextUNet",
    "time_embedding",
    "UNet",
    "UNet3Plus",
    "UNetPlusPlus",
    "class_guided",
    "DualOutput",
    "DualUNet",
    "DualVNet",
    "EfficientNetLite",
    "pretrained_efficientnet_lite",
    "TokenStates",
    "hf_encoder",
    "flip_average",
    "sliding_window",
]

r"""The R-CNN family: each detector removes one cost of the one before and keeps the rest.

===================  ===================================  ==========================  ==================================
network              boxes come from                      backbone sees               and what it removes
===================  ===================================  ==========================  ==================================
:class:`RCNN`        outside (selective search)           each box, cut and resized
:class:`FastRCNN`    outside                              the image, once             a forward pass for every box
:class:`FasterRCNN`  its own :class:`RegionProposals`     the image, once             the search outside the network
:class:`MaskRCNN`    its own                              the image, once             the box as the finest answer
===================  ===================================  ==========================  ==================================

All stand on the user's own backbone: any function from images (B, C, H, W) to one feature map or several (a list, or a
mapping in order), with the stride of each. :class:`FeaturePyramid` makes several maps of one depth. Images are a list
of (C, H, W), which may differ in size; they are padded with zeros to one size. Labels count from 0; in the networks'
own scores the background is the last column. Taught in chapter 10.
"""

from .detectors import RCNN, DetectionLoss, FasterRCNN, FastRCNN, MaskRCNN
from .heads import BoxHead, MaskHead
from .levels import FeaturePyramid, pool_levels
from .paste import paste_masks

__all__ = [
    "BoxHead",
    "DetectionLoss",
    "FastRCNN",
    "FasterRCNN",
    "FeaturePyramid",
    "MaskHead",
    "MaskRCNN",
    "RCNN",
    "paste_masks",
    "pool_levels",
]
